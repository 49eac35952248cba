"""How long documents are: exact where all can be read, else from a sample that says so."""

import io
import json

import pytest

from models_app.core.blobs import blob_put
from models_app.datasets.lengths import document_text, split_lengths
from models_app.datasets.models import DatasetVersion


def version(*shards: list[int]) -> DatasetVersion:
    manifest = {}
    for number, lengths in enumerate(shards):
        lines = "".join(json.dumps({"text": "x" * length}) + "\n" for length in lengths)
        sha256, size = blob_put(io.BytesIO(lines.encode()))
        manifest[f"train/{number:05}.jsonl"] = {"sha256": sha256, "size": size}
    return DatasetVersion(manifest=manifest)


@pytest.fixture(autouse=True)
def data(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def test_every_document_is_counted_once():
    lengths = split_lengths(version([1, 5, 7], [8, 100]), "train")
    assert lengths.complete
    assert [(b.low, b.high, b.documents) for b in lengths.bins] == [
        (0, 1, 1),
        (2, 3, 0),
        (4, 7, 2),
        (8, 15, 1),
        (16, 31, 0),
        (32, 63, 0),
        (64, 127, 1),
    ]
    assert (lengths.shortest, lengths.median, lengths.longest) == (1, 7, 100)


def test_a_large_split_is_sampled_from_every_shard():
    lengths = split_lengths(version([10] * 200, [500] * 200), "train", budget=20_000)
    assert not lengths.complete
    assert 2 <= lengths.counted < 400
    assert (lengths.shortest, lengths.longest) == (10, 500)


def test_a_shard_gives_at_least_one_document():
    lengths = split_lengths(version([5000, 1]), "train", budget=10)
    assert lengths.counted == 1
    assert not lengths.complete


def test_an_empty_split_has_no_lengths():
    assert split_lengths(version([1]), "validation") is None


def test_a_conversation_is_what_was_said():
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert document_text({"messages": messages}) == "user: Hi\n\nassistant: Hello"
