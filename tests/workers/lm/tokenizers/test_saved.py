"""Tokenizers from folders that hold too little or too much."""

import pytest

from workers.lm.errors import UnusableModel
from workers.lm.tokenizers.bytepair import learn_bytepair
from workers.lm.tokenizers.saved import end_token, load_tokenizer, save_tokenizer

pytestmark = pytest.mark.nodb


def test_missing_tokenizer_and_huge_template_are_refused(tmp_path):
    with pytest.raises(UnusableModel, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
    tokenizer = learn_bytepair(iter(["words"]), 280)
    save_tokenizer(tokenizer, tmp_path)
    assert end_token(load_tokenizer(tmp_path)) == tokenizer.eos_token_id
    (tmp_path / "chat_template.jinja").write_text("x" * 70_000)
    with pytest.raises(UnusableModel, match="64 KiB"):
        load_tokenizer(tmp_path)
