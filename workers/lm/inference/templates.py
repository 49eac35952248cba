"""Messages to the text a model continues: its own chat template, or plain labelled lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from .errors import BadRequest, ModelRefused

TEMPLATE_LIMIT = 64 * 1024
OUTPUT_LIMIT = 2**20


class TemplateRenderer:
    """Renders in transformers' sandbox.

    Models without a template (base models) get one line a message, `role: content`, and an
    open `assistant:` line to continue. No stop string is added: whoever wants the answer to
    end before the next `user:` line asks for that.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        template = tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if template is not None and len(template) > TEMPLATE_LIMIT:
            raise ModelRefused(f"The chat template is larger than {TEMPLATE_LIMIT} characters.")
        self._tokenizer = tokenizer
        self._template: str | None = template

    @property
    def own_template(self) -> bool:
        """True where the model brings its chat template."""
        return self._template is not None

    def render(self, messages: Sequence[dict[str, str]]) -> tuple[str, bool]:
        """The text, and whether the tokenizer is to add its special tokens.

        A template writes them itself; plain lines need them.
        """
        if self._template is None:
            return plain_lines(messages), True
        try:
            text: Any = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=True,
            )
        except Exception as error:
            raise BadRequest(
                f"The model's chat template does not take these messages: {str(error)[:300]}",
                param="messages",
                code="chat_template_error",
            ) from error
        if len(text) > OUTPUT_LIMIT:
            raise BadRequest(
                f"The chat template made more than {OUTPUT_LIMIT} characters of these messages.",
                param="messages",
                code="chat_template_error",
            )
        return text, False


def plain_lines(messages: Sequence[dict[str, str]]) -> str:
    """`role: content` lines, the last one open for the answer."""
    lines = [f"{message['role']}: {message['content']}" for message in messages]
    return "\n".join([*lines, "assistant:"])
