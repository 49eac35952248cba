"""Token files: right, made once, published whole."""

import numpy as np
import pytest

from tests.workers.lm.recording import sentences, write_documents
from workers.lm.data import tokenising
from workers.lm.data.token_store import TOKENS, open_store, token_type
from workers.lm.data.tokenising import tokenise
from workers.lm.tokenizers.bytepair import learn_bytepair

pytestmark = pytest.mark.nodb


@pytest.fixture(scope="module")
def tokenizer():
    return learn_bytepair(iter(sentences(100)), 300)


def test_store_holds_every_document_with_its_end(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenising, "_BATCH_CHARACTERS", 100)
    texts = [*sentences(20), "", "last one"]
    store = tokenise([write_documents(tmp_path / "a.jsonl", texts)], tokenizer, tmp_path / "work")
    written = [text for text in texts if text]
    assert store.documents == len(written)
    for index, text in enumerate(written):
        assert store.document(index).tolist() == [
            *tokenizer(text).input_ids, tokenizer.eos_token_id
        ]  # fmt: skip
    assert store.text_bytes == sum(len(text) for text in written)
    assert store.tokens.dtype == np.uint16
    assert token_type(70_000) == np.uint32


def test_long_documents_are_one_document(tmp_path, tokenizer):
    text = " ".join(sentences(3000))
    store = tokenise([write_documents(tmp_path / "a.jsonl", [text])], tokenizer, tmp_path / "work")
    assert store.documents == 1
    assert tokenizer.decode(store.document(0)[:-1]) == text


def test_the_same_documents_are_tokenised_once(tmp_path, tokenizer):
    path = write_documents(tmp_path / "a.jsonl", sentences(5))
    first = tokenise([path], tokenizer, tmp_path / "work")
    file = next((tmp_path / "work").rglob(TOKENS))
    before = file.stat().st_ino
    assert tokenise([path], tokenizer, tmp_path / "work").fingerprint == first.fingerprint
    assert file.stat().st_ino == before
    write_documents(path, sentences(6))
    assert tokenise([path], tokenizer, tmp_path / "work").fingerprint != first.fingerprint


def test_a_damaged_file_is_made_anew(tmp_path, tokenizer):
    path = write_documents(tmp_path / "a.jsonl", sentences(5))
    whole = tokenise([path], tokenizer, tmp_path / "work").tokens.tolist()
    file = next((tmp_path / "work").rglob(TOKENS))
    file.write_bytes(file.read_bytes()[:-2])
    assert open_store(file.parent) is None
    assert tokenise([path], tokenizer, tmp_path / "work").tokens.tolist() == whole


def test_stopping_leaves_nothing(tmp_path, tokenizer):
    def stop(share):
        raise KeyboardInterrupt

    path = write_documents(tmp_path / "a.jsonl", sentences(5))
    with pytest.raises(KeyboardInterrupt):
        tokenise([path], tokenizer, tmp_path / "work", stop)
    assert list((tmp_path / "work" / "tokens").iterdir()) == []
