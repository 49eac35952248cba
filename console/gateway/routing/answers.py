"""The text of an answer as a client got it, whole or as events, to be compared with another."""

import json
import re
from typing import Any

#: In compact JSON a quote inside a string is escaped, so these can only be the keys.
_PIECE = re.compile(rb'"(?:content|text)":"((?:[^"\\]|\\.)*)"')
_OTHERS = re.compile(rb'"index":[1-9]')
_DATA = b"data: "


def text_of(body: bytes, *, stream: bool) -> str | None:
    """What the model said; None where it is no answer. Choices after the first follow a line each.

    Of a stream with one choice the pieces are cut out and read in one go: a comparison must cost
    the gateway next to nothing.
    """
    if not stream:
        return _whole(body)
    if _OTHERS.search(body):
        return _events(body)
    pieces = b"".join(_PIECE.findall(body))
    try:
        return str(json.loads(b'"' + pieces + b'"'))
    except ValueError:
        return None


def alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    if one == other:
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _whole(body: bytes) -> str | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices:
        return None
    return "\n".join(_said(choice, "message") for choice in choices)


def _events(body: bytes) -> str | None:
    said: dict[int, list[str]] = {}
    for line in body.split(b"\n"):
        if not line.startswith(_DATA + b"{"):
            continue
        try:
            choices = json.loads(line[len(_DATA) :]).get("choices") or []
        except ValueError:
            return None
        for choice in choices:
            said.setdefault(choice.get("index", 0), []).append(_said(choice, "delta"))
    return "\n".join("".join(said[index]) for index in sorted(said)) if said else None


def _said(choice: Any, name: str) -> str:
    if not isinstance(choice, dict):
        return ""
    inner = choice.get(name)
    text = inner.get("content") if isinstance(inner, dict) else choice.get("text")
    return text if isinstance(text, str) else ""
