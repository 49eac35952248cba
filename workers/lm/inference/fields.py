"""Reads a JSON object field by field; every complaint names the field and what it may be."""

from __future__ import annotations

from typing import Any

from .errors import BadRequest

_INT64 = 2**63


class Fields:
    """A request body. What nobody asks for is reported by `reject_unknown`."""

    def __init__(self, body: Any, where: str = "") -> None:
        if not isinstance(body, dict):
            what = where.rstrip(".") or "The request body"
            raise BadRequest(f"{what} must be a JSON object.", param=where.rstrip(".") or None)
        self._body: dict[str, Any] = body
        self._where = where
        self._known: set[str] = set()

    def get(self, name: str) -> Any:
        """The raw value, None where absent or null."""
        self._known.add(name)
        return self._body.get(name)

    def param(self, name: str) -> str:
        """The field's full name."""
        return f"{self._where}{name}"

    def wrong(self, name: str, must: str) -> BadRequest:
        """The complaint about a field."""
        return BadRequest(f"'{self.param(name)}' {must}.", param=self.param(name))

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A finite number within bounds."""
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, f"must be a number, got {_kind(value)}")
        if not low <= value <= high:  # also false for NaN
            raise self.wrong(name, f"must be between {low:g} and {high:g}, got {_shown(value)}")
        return float(value)

    def integer(self, name: str, low: int, high: int) -> int | None:
        """A whole number within bounds, None where absent."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, f"must be a whole number, got {_kind(value)}")
        if not low <= value <= high:
            raise self.wrong(name, f"must be between {low} and {high}, got {_shown(value)}")
        return value

    def seed(self, name: str) -> int | None:
        """Any 64-bit integer."""
        return self.integer(name, -_INT64, _INT64 - 1)

    def boolean(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, f"must be true or false, got {_kind(value)}")
        return value

    def text(self, name: str, *, limit: int, required: bool = False) -> str | None:
        """A string of at most `limit` characters."""
        value = self.get(name)
        if value is None:
            if required:
                raise self.wrong(name, "is required")
            return None
        if not isinstance(value, str):
            raise self.wrong(name, f"must be a string, got {_kind(value)}")
        if len(value) > limit or (required and not value):
            raise self.wrong(name, f"must have 1 to {limit} characters, has {len(value)}")
        return value

    def nested(self, name: str) -> Fields | None:
        """An object field."""
        value = self.get(name)
        return None if value is None else Fields(value, f"{self.param(name)}.")

    def reject_unknown(self) -> None:
        """Complain about the first field that nobody asked for."""
        for name in self._body:
            if name not in self._known:
                raise BadRequest(
                    f"Unrecognized request argument supplied: '{self.param(name[:80])}'.",
                    param=self.param(name[:80]),
                    code="unknown_parameter",
                )


def is_id(item: Any) -> bool:
    """Whether this could be a token id."""
    return isinstance(item, int) and not isinstance(item, bool)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else "null")


def _shown(value: float) -> str:
    # str() of a huge integer raises; of a float it is always short.
    if abs(value) >= _INT64:
        return "a number far outside"
    return str(value)
