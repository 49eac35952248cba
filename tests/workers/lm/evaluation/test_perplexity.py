"""Scoring a model folder on documents."""

import hashlib
import json
import math

import pytest
import torch

from tests.workers.lm.families.test_transformer import tiny_model
from tests.workers.lm.recording import Recorder, sentences, write_documents
from workers.lm.errors import InvalidEvaluation, Stopped
from workers.lm.evaluation.perplexity import evaluate
from workers.lm.tokenizers.bytepair import learn_bytepair
from workers.lm.tokenizers.saved import save_tokenizer

pytestmark = pytest.mark.nodb


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = learn_bytepair(iter(sentences(50)), 300)
    model = tiny_model(tokenizer)
    with torch.no_grad():  # every token equally likely: the score is known
        model.model.embed_tokens.weight.zero_()
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def test_an_ignorant_model_scores_the_size_of_its_vocabulary(model_dir, tmp_path):
    texts = [*sentences(20, seed=5), "", "ü" * 40]
    file = write_documents(tmp_path / "a.jsonl", texts)
    events = Recorder()
    result = evaluate(model_dir, [file], tmp_path / "work", events, threads=1)
    assert result.perplexity == pytest.approx(300)
    assert result.documents == 21
    assert result.bytes == sum(len(text.encode()) for text in texts)
    assert result.bits_per_byte == pytest.approx(result.tokens * math.log2(300) / result.bytes)
    lines = [json.loads(line) for line in result.scores_file.read_text().splitlines()]
    assert [line["document"] for line in lines] == [*range(20), 21]
    assert sum(line["tokens"] for line in lines) == result.tokens
    assert sum(line["nats"] for line in lines) == pytest.approx(result.nats)
    assert lines[-1]["bytes"] == 80
    digest = hashlib.sha256(result.scores_file.read_bytes()).hexdigest()
    assert result.scores_sha256 == digest
    assert events.progresses[-1]["percent"] == 100.0
    assert json.loads(json.dumps(result.to_dict()))["perplexity"] == pytest.approx(300)


def test_fewer_documents_and_shorter_windows_on_request(model_dir, tmp_path):
    file = write_documents(tmp_path / "a.jsonl", sentences(20))
    result = evaluate(
        model_dir, [file], tmp_path, Recorder(), 1, max_documents=3, sequence_length=8
    )
    assert (result.documents, result.sequence_length) == (3, 8)


def test_what_cannot_be_scored_is_refused(model_dir, tmp_path):
    empty = write_documents(tmp_path / "empty.jsonl", [])
    blank = write_documents(tmp_path / "blank.jsonl", ["", ""])
    full = write_documents(tmp_path / "full.jsonl", ["words"])
    for files, options, field in (
        ([], {}, "dataset"),
        ([empty], {}, "dataset"),
        ([blank], {}, "dataset"),
        ([full], {"sequence_length": 17}, "sequence_length"),
        ([full], {"max_documents": 0}, "max_documents"),
    ):
        with pytest.raises(InvalidEvaluation) as caught:
            evaluate(model_dir, files, tmp_path / "w", Recorder(), 1, **options)
        assert caught.value.field == field


def test_stops_when_asked(model_dir, tmp_path):
    file = write_documents(tmp_path / "a.jsonl", sentences(20))
    with pytest.raises(Stopped):
        evaluate(model_dir, [file], tmp_path / "w", Recorder(stop_after=0), 1)
    assert not (tmp_path / "w" / "scores.jsonl").exists()
