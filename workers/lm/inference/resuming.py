"""An answer that another replica began: what the reader has of it, as the gateway tells it.

The gateway learns it from the comment in front of each event, `: <choice> <tokens> [<characters>]`,
and sends it along with the same request; it comes from no client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .fields import Fields, is_id

FIELD = "slipway_resume"
_MOST_TOKENS = 10_000_000
_FINISHES = (None, "stop", "length")


@dataclass(frozen=True, slots=True)
class Begun:
    """One choice: its tokens, `text_length` characters of which were told where that is known."""

    tokens: tuple[int, ...]
    text_length: int | None
    done: str | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The answer so far; a choice of which nothing was told is None."""

    id: str
    created: int
    choices: tuple[Begun | None, ...]


def read_resumed(fields: Fields, choices: int) -> Resumed | None:
    """What the gateway says, None where the request is a new one."""
    inner = fields.nested(FIELD)
    if inner is None:
        return None
    raw = inner.get("choices")
    if not isinstance(raw, list) or len(raw) != choices:
        raise inner.wrong("choices", f"must be an array of {choices}, one for each choice")
    resumed = Resumed(
        id=inner.text("id", limit=128, required=True) or "",
        created=inner.integer("created", 0, 2**53) or 0,
        choices=tuple(_begun(item, index) for index, item in enumerate(raw)),
    )
    inner.reject_unknown()
    return resumed


def _begun(item: Any, index: int) -> Begun | None:
    if item is None:
        return None
    fields = Fields(item, f"{FIELD}.choices[{index}].")
    tokens, done = fields.get("tokens"), fields.get("done")
    if not isinstance(tokens, list) or not all(map(is_id, tokens)):
        raise fields.wrong("tokens", "must be an array of token ids")
    if done not in _FINISHES:
        raise fields.wrong("done", "must be null, 'stop' or 'length'")
    begun = Begun(tuple(tokens), fields.integer("text_length", 0, _MOST_TOKENS), done)
    fields.reject_unknown()
    return begun


def comment(choice: int, tokens: Sequence[int], told: int | None) -> bytes:
    """The line in front of an event; readers of server-sent events ignore it."""
    line = f": {choice} {','.join(map(str, tokens))}"
    return (line if told is None else f"{line} {told}").encode() + b"\n"
