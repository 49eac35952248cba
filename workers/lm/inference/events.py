"""What the engine tells the one who asked, in order, on the engine's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import ServingError


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token with its log-probability and the most likely alternatives at its place."""

    token_id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """What newly sampled tokens made visible; `text` is empty while a character or a stop string
    is open.

    `token_ids` are the tokens themselves, also those whose text is still held back: whoever has
    all of them can have the answer continued elsewhere. `finish` is "stop" or "length" on a
    choice's last delta, else None.
    """

    choice: int
    text: str
    completion_tokens: int
    scores: tuple[TokenScore, ...] = ()
    prompt_scores: tuple[TokenScore, ...] = ()
    finish: str | None = None
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A choice ended without an answer: cancelled (`error` None) or failed."""

    choice: int
    completion_tokens: int
    prompt_computed: bool
    error: ServingError | None = field(default=None)


Event = Delta | Ended
Sink = Callable[[Event], None]
