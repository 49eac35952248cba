"""Byte-pair encoding learned from a stream."""

import pytest
from transformers import AutoTokenizer

from tests.workers.lm.recording import sentences
from workers.lm.tokenizers.bytepair import SMALLEST_VOCABULARY, learn_bytepair
from workers.lm.tokenizers.saved import load_tokenizer, save_tokenizer, tokenizer_digest

pytestmark = pytest.mark.nodb

AWKWARD = [
    "",
    "plain words",
    "naïve 日本語 🚢\u200d\U0001f469",
    "\x00\x01\r\n\t  two  spaces ",
    "\u0301",
]


@pytest.fixture(scope="module")
def tokenizer():
    return learn_bytepair(iter(sentences(200)), 320)


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_survives(tokenizer, text):
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_learning_is_repeatable_and_compresses(tokenizer):
    again = learn_bytepair(iter(sentences(200)), 320)
    assert tokenizer_digest(again) == tokenizer_digest(tokenizer)
    text = sentences(1)[0]
    assert len(tokenizer(text).input_ids) < len(text) / 2


def test_size_is_as_asked_and_markers_are_single_tokens(tokenizer):
    assert len(tokenizer) == 320
    assert len(tokenizer("<|user|><|assistant|><|endoftext|>").input_ids) == 3
    assert len(learn_bytepair(iter(["ab"]), SMALLEST_VOCABULARY)) == SMALLEST_VOCABULARY


def test_saved_and_loaded_it_reads_the_same(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path)
    assert {"tokenizer.json", "tokenizer_config.json"} <= {path.name for path in tmp_path.iterdir()}
    for loaded in (load_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert loaded(AWKWARD[2]).input_ids == tokenizer(AWKWARD[2]).input_ids
        assert loaded.eos_token == "<|endoftext|>"
