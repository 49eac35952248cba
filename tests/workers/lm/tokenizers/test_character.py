"""One token for each character."""

import pytest
from transformers import AutoTokenizer

from workers.lm.tokenizers.character import learn_characters
from workers.lm.tokenizers.saved import save_tokenizer

pytestmark = pytest.mark.nodb


def test_known_characters_survive_and_others_are_unknown():
    tokenizer = learn_characters(iter(["hello\n\n world", "日本"]), 100)
    for text in ("world hello", "\n  \n", "日 本"):
        ids = tokenizer(text).input_ids
        assert len(ids) == len(text)
        assert tokenizer.decode(ids) == text
    assert tokenizer.convert_ids_to_tokens(tokenizer("héz").input_ids) == ["h", "<unk>", "<unk>"]


def test_too_many_characters_keep_the_most_frequent():
    tokenizer = learn_characters(iter(["aaaa bbb cc d"]), 5)
    assert sorted(set(tokenizer.get_vocab()) - {"<|endoftext|>", "<unk>"}) == [" ", "a", "b"]


def test_saved_and_loaded_it_reads_the_same(tmp_path):
    tokenizer = learn_characters(iter(["abc \n"]), 100)
    save_tokenizer(tokenizer, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "cab \n\n  abc"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.decode(loaded(text).input_ids) == text
