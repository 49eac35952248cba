"""Reading documents, plain and compressed, good and bad."""

import json

import pytest
import zstandard

from tests.workers.lm.recording import write_documents
from workers.lm.data.documents import Documents, pieces
from workers.lm.errors import InvalidWork

pytestmark = pytest.mark.nodb


def test_files_are_read_in_order_plain_and_compressed(tmp_path):
    first = write_documents(tmp_path / "a.jsonl", ["one", "", "zwei ü"])
    second = tmp_path / "b.jsonl.zst"
    lines = b'{"text": "three"}\n\n{"text": "four"}'
    half = zstandard.compress(lines[:10]) + zstandard.compress(lines[10:])
    second.write_bytes(half)
    documents = Documents([first, second])
    found = [(document.index, document.text) for document in documents]
    assert found == [(0, "one"), (1, ""), (2, "zwei ü"), (3, "three"), (4, "four")]
    assert documents.share_read == 1.0
    assert [document.text for document in documents][:1] == ["one"]


def test_conversations_become_text(tmp_path):
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
    assert [document.text for document in Documents([path])] == ["<|user|>Hi"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "is not JSON"),
        ('{"texts": "x"}', 'has no "text"'),
        ('["text"]', 'has no "text"'),
        ('{"text": 5}', 'has no "text"'),
        ('{"messages": [{"role": "user"}]}', "holds a message without"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, said):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(InvalidWork, match=f"Line 2 of bad.jsonl {said}") as caught:
        list(Documents([path]))
    assert caught.value.field == "dataset"


def test_halves_of_surrogate_pairs_are_replaced(tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_text('{"text": "a\\ud800b"}')
    assert [document.text for document in Documents([path])] == ["a?b"]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidWork, match=r"gone\.jsonl"):
        Documents([tmp_path / "gone.jsonl"])


@pytest.mark.parametrize("text", ["", "x" * 1000, "word " * 300, "a\nb " * 200])
def test_pieces_make_up_the_text_and_are_cut_before_white_space(text):
    parts = list(pieces(text, 100))
    assert "".join(parts) == text
    assert all(len(part) <= 100 for part in parts)
    if " " in text:
        assert all(part[0] in " \n" for part in parts[1:])
