"""Anticipated errors. The docstring of each class is its message; `status` is what HTTP answers."""

from collections.abc import Mapping
from typing import Any


class SlipwayError(Exception):
    """Something anticipated went wrong."""

    status = 500
    code = "error"
    title = "Something went wrong"

    def __init__(self, message: str | None = None, **extra: Any) -> None:
        self.message = message or (self.__doc__ or self.title).strip()
        self.extra = extra
        super().__init__(self.message)


class InvalidInput(SlipwayError):
    """Some fields are not valid."""

    status = 422
    code = "invalid_input"
    title = "Some fields are not valid"

    def __init__(self, errors: Mapping[str, str | list[str]], message: str | None = None) -> None:
        self.errors: dict[str, list[str]] = {
            field: [text] if isinstance(text, str) else list(text) for field, text in errors.items()
        }
        super().__init__(message or "; ".join(f"{f}: {t[0]}" for f, t in self.errors.items()))


class FieldError(InvalidInput):
    """One field is not valid: names the field and says what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__({field: message})
        self.field = field


class NotFound(SlipwayError):
    """There is no such thing, or you may not see it."""

    status = 404
    code = "not_found"
    title = "Not found"


class PermissionDenied(SlipwayError):
    """Your role or token does not allow this."""

    status = 403
    code = "permission_denied"
    title = "Not allowed"


class WrongState(SlipwayError):
    """The thing is not in a state in which this can be done."""

    status = 409
    code = "wrong_state"
    title = "Not possible in this state"


class Conflict(SlipwayError):
    """The thing has changed, or one like it exists already."""

    status = 409
    code = "conflict"
    title = "Conflict"


class StaleEpoch(SlipwayError):
    """This attempt is no longer the current one: its lease ran out and its writes are refused."""

    status = 409
    code = "stale_epoch"
    title = "Stale attempt"
