"""A model that is asked: loads it as evaluations do, and always takes the most likely token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from workers.lm.compute.devices import best_device
from workers.lm.errors import Stopped, UnusableModel
from workers.lm.events import Events
from workers.lm.families.greedy import end_tokens, greedy
from workers.lm.families.transformer import context_of, move
from workers.lm.formats.merged import load_version, tokenizer_folder
from workers.lm.inference.errors import ServingError
from workers.lm.inference.templates import TemplateRenderer
from workers.lm.tokenizers.saved import end_token, load_tokenizer

_UNLIMITED_CONTEXT = 4096


class Asked:
    """A loaded model with its tokenizer; `close` it."""

    def __init__(self, folder: Path, events: Events) -> None:
        self.tokenizer = load_tokenizer(tokenizer_folder(folder))
        self._model: Any = load_version(folder)
        if self._model.config.get_text_config().vocab_size < len(self.tokenizer):
            raise UnusableModel("The tokenizer knows more tokens than the model.")
        self._model.eval()
        move(self._model, best_device())
        self.context = min(context_of(self._model.config) or _UNLIMITED_CONTEXT, _UNLIMITED_CONTEXT)
        self.end = end_token(self.tokenizer)
        self._events = events
        self._renderer = TemplateRenderer(self.tokenizer)

    @property
    def is_chat(self) -> bool:
        """Whether it has a chat template, so was made to answer."""
        return self._renderer.own_template

    def prompt(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Token ids of a conversation, as a deployment would make them.

        Where a template takes no system message its text begins the first message instead.
        """
        try:
            text, special = self._renderer.render(messages)
        except ServingError:
            try:
                text, special = self._renderer.render(_without_system(messages))
            except ServingError as error:
                raise UnusableModel(error.message) from error
        ids = self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=special).ids
        return list(ids) or [self.end]

    def answer(self, prompt: Sequence[int], tokens: int) -> list[int]:
        """At most `tokens` that follow, without the one that ends the answer; `Stopped` if asked
        to stop.
        """
        found: list[int] = []
        for token in self._greedy(prompt, min(tokens, self.context - len(prompt))):
            if token in self._ends:
                break
            found.append(token)
        return found

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def close(self) -> None:
        """End the process that renders the template."""
        self._renderer.close()

    @cached_property
    def _ends(self) -> set[int]:
        return end_tokens(self._model, self.end)

    def _greedy(self, prompt: Sequence[int], tokens: int) -> Iterator[int]:
        for token in islice(greedy(self._model, prompt), max(0, tokens)):
            if self._events.should_stop():
                raise Stopped(0, None)
            yield token


def _without_system(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    text = "\n\n".join(message["content"] for message in messages)
    return [{"role": "user", "content": text}]
