"""Conversations as their model's chat template writes them, and where in them the answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from transformers import PreTrainedTokenizerFast

from workers.lm.errors import InvalidTraining
from workers.lm.inference.errors import ServingError
from workers.lm.inference.templates import TEMPLATE_LIMIT, TemplateProcess
from workers.lm.tokenizers.markers import CHAT_TEMPLATE, ROLE_MARKERS, message_problem

Messages = Sequence[Mapping[str, Any]]
_PROBE = [{"role": "user", "content": "?"}]


class BadConversation(ValueError):
    """One row cannot be learned from; says why, to be put behind the name of the row."""


@dataclass(frozen=True, slots=True)
class Written:
    """The text of a conversation; `answers` are the parts (start, end) of it to be learned."""

    text: str
    answers: tuple[tuple[int, int], ...]
    #: Whether the template closes the last answer itself; else the end of text is its end mark.
    closed: bool


class Writer:
    """Writes conversations by a tokenizer's template, in the process that serves it, too.

    Use it as a context manager. Raises InvalidTraining where there is no template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        template = template_of(tokenizer)
        if len(template) > TEMPLATE_LIMIT:
            raise InvalidTraining(
                "loss_on", f"The chat template is larger than {TEMPLATE_LIMIT} characters."
            )
        self._special = dict(tokenizer.special_tokens_map)
        self._process = TemplateProcess(template)

    def __enter__(self) -> Writer:
        try:
            self._process.start()
            asked = self._process.render(self._variables(_PROBE, asking=True))
            self._opens = asked != self._process.render(self._variables(_PROBE, asking=False))
        except ServingError as error:
            raise InvalidTraining("loss_on", error.message) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.stop()

    def write(self, messages: Messages) -> Written:
        """The whole text with its answers; raises BadConversation."""
        for number, message in enumerate(messages, 1):
            if problem := message_problem(message):
                raise BadConversation(f"is no conversation: message {number} {problem}")
        whole = self._render(messages, asking=False)
        answers, closed = [], False
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                span, closed = self._answer(messages, place, whole)
                answers.append(span)
        return Written(whole, tuple(answers), closed or not answers)

    def _answer(self, messages: Messages, place: int, whole: str) -> tuple[tuple[int, int], bool]:
        """Where one answer begins and ends, with its end mark; and whether it has one."""
        before = self._render(messages[:place], asking=True) if place else ""
        last = place + 1 == len(messages)
        until = whole if last else self._render(messages[: place + 1], asking=False)
        if not whole.startswith(until) or not until.startswith(before):
            raise BadConversation(
                "has an earlier answer that the chat template writes otherwise than a last one; "
                "give a row to each answer"
            )
        piece = until[len(before) :]
        said = messages[place]["content"].strip()
        found = piece.find(said)
        start = 0 if self._opens or found < 0 else found
        tail = piece[found + len(said) :] if found >= 0 else ""
        # White space behind the end mark belongs to the next turn; without a mark it is the mark.
        closed = bool(tail.strip())
        end = len(piece.rstrip()) if closed else len(piece)
        return (len(before) + start, len(before) + end), closed

    def _render(self, messages: Messages, *, asking: bool) -> str:
        try:
            return self._process.render(self._variables(messages, asking=asking))
        except ServingError as error:
            raise BadConversation(f"does not fit: {error.message}") from error

    def _variables(self, messages: Messages, *, asking: bool) -> dict[str, Any]:
        return {
            **self._special,
            "messages": [dict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": asking,
        }


def template_of(tokenizer: PreTrainedTokenizerFast) -> str:
    """Its chat template; ours is attached where it has none but knows our marks of roles."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if template is None and _knows_marks(tokenizer):
        template = tokenizer.chat_template = CHAT_TEMPLATE
    if template is None:
        raise InvalidTraining(
            "loss_on",
            "The tokenizer has no chat template and no marks of roles, so answers cannot be told "
            "from questions. Choose all, or a base version that can chat.",
        )
    return str(template)


def _knows_marks(tokenizer: PreTrainedTokenizerFast) -> bool:
    numbers = [tokenizer.convert_tokens_to_ids(marker) for marker in ROLE_MARKERS]
    return all(number is not None and number != tokenizer.unk_token_id for number in numbers)
