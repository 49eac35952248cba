"""The chat format: what trains is what is served."""

import pytest

from workers.lm.tokenizers.bytepair import learn_bytepair
from workers.lm.tokenizers.markers import CHAT_TEMPLATE, conversation_text

pytestmark = pytest.mark.nodb

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is the ship?"},
    {"role": "assistant", "content": "At sea."},
]


def test_template_and_training_text_agree():
    tokenizer = learn_bytepair(iter(["some words"]), 300)
    tokenizer.chat_template = CHAT_TEMPLATE
    rendered = tokenizer.apply_chat_template(TALK, tokenize=False)
    assert rendered == conversation_text(TALK) + "<|endoftext|>"
    asked = tokenizer.apply_chat_template(TALK[:2], tokenize=False, add_generation_prompt=True)
    assert rendered.startswith(asked)


@pytest.mark.parametrize("message", [{"role": "pirate", "content": "x"}, {"role": "user"}])
def test_bad_messages_are_refused(message):
    with pytest.raises(ValueError, match="role"):
        conversation_text([message])
