"""For whom a request is computed, and how urgent it is: what the gateway says in headers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import headers
from .ask import HIGH, LOW, NORMAL
from .errors import BadRequest

if TYPE_CHECKING:
    from .http import HttpCall

_PRIORITIES = {"": NORMAL, "low": LOW, "normal": NORMAL, "high": HIGH}
_LONGEST_MS = 7 * 24 * 3600 * 1000
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """`deadline` is of the monotonic clock; `names_tokens` asks for a comment before each event."""

    tenant: str = ""
    priority: int = NORMAL
    deadline: float | None = None
    adapter: str = ""
    names_tokens: bool = False


def read_caller(http: HttpCall) -> Caller:
    """The caller, or BadRequest: the gateway is trusted, but not to be without faults."""
    priority = _said(http, headers.PRIORITY)
    if priority not in _PRIORITIES:
        raise BadRequest(f"{headers.PRIORITY} must be low, normal or high.")
    return Caller(
        tenant=_name(http, headers.TENANT),
        priority=_PRIORITIES[priority],
        deadline=_deadline(_said(http, headers.DEADLINE_MS)),
        adapter=_name(http, headers.ADAPTER),
        names_tokens=_said(http, headers.TOKENS) == "1",
    )


def _said(http: HttpCall, header: str) -> str:
    return http.header(header.encode())


def _name(http: HttpCall, header: str) -> str:
    value = _said(http, header)
    if len(value) > _LONGEST_NAME:
        raise BadRequest(f"{header} is longer than {_LONGEST_NAME} characters.")
    return value


def _deadline(value: str) -> float | None:
    if not value:
        return None
    if not value.isdecimal() or len(value) > 12:
        raise BadRequest(f"{headers.DEADLINE_MS} must be a whole number of milliseconds.")
    return time.monotonic() + min(int(value), _LONGEST_MS) / 1000
