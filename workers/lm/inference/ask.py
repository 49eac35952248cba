"""What a caller asks of an engine, and what it can read of each answer while it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .params import SamplingParams

LOW, NORMAL, HIGH = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt to be continued, for whom, and how urgent it is.

    `prior` are tokens of the answer that the reader already has: they are computed like a prompt
    and never told again, but the text, the stop strings, the penalties, the random numbers, the
    usage and `max_tokens` go on as if the answer had never been interrupted. Its text is taken to
    have been told as far as those tokens made it certain.

    `tenant` bounds the sharing of prefixes and takes its turn with other tenants; `deadline` is of
    the monotonic clock, in seconds: a request that has not begun by then is never computed.

    `number` is the number of the choice in the answer and `stream` its number among the choices
    of its prompt, on which the random numbers depend. Only who asks for the choices of a prompt one
    by one, to go on with each, gives them; else the engine counts.
    """

    prompt: list[int]
    params: SamplingParams
    prior: tuple[int, ...] = ()
    tenant: str = ""
    priority: int = NORMAL
    deadline: float | None = None
    adapter: str = ""
    number: int | None = None
    stream: int = 0


class Ticket(Protocol):
    """One choice of an ask; its times are in milliseconds, None until they are known.

    `queue_ms` goes from being asked to the first token computed for it, `prefill_ms` from there to
    its first own token. `cached_tokens` counts those of the prompt that were not computed again.
    """

    choice: int
    cached_tokens: int

    @property
    def queue_ms(self) -> float | None:
        """How long it waited for its turn."""
        ...

    @property
    def prefill_ms(self) -> float | None:
        """How long its prompt took."""
        ...
