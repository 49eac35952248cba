"""Anticipated errors. `default` is what a class says by itself; `status` is what HTTP answers."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class SlipwayError(Exception):
    """Something anticipated went wrong. `message` is in the language of the request."""

    status = 500
    code = "error"
    title: ClassVar[str | Promise] = _("Something went wrong")
    default: ClassVar[str | Promise] = _("Something anticipated went wrong.")

    def __init__(self, message: str | None = None, **extra: Any) -> None:
        self.message = message or str(self.default)
        self.extra = extra
        super().__init__(self.message)


class InvalidInput(SlipwayError):
    """Some fields are not valid: what is wrong with each, and what to do."""

    status = 422
    code = "invalid_input"
    title = _("Some fields are not valid")

    def __init__(self, errors: Mapping[str, str | list[str]], message: str | None = None) -> None:
        self.errors: dict[str, list[str]] = {
            field: [text] if isinstance(text, str) else list(text) for field, text in errors.items()
        }
        super().__init__(message or "; ".join(f"{f}: {t[0]}" for f, t in self.errors.items()))


class FieldError(InvalidInput):
    """One field is not valid: names the field and says what to do. `code` says which rule it broke,
    where programs want to know."""

    def __init__(self, field: str, message: str, *, code: str = "") -> None:
        super().__init__({field: message})
        self.field = field
        self.code = code or self.code


class NotFound(SlipwayError):
    """Missing, or hidden from the one who asks: both look the same."""

    status = 404
    code = "not_found"
    title = _("Not found")
    default = _("There is no such thing, or you may not see it.")


class PermissionDenied(SlipwayError):
    """The role or the token does not allow it."""

    status = 403
    code = "permission_denied"
    title = _("Not allowed")
    default = _("Your role or token does not allow this.")


class WrongState(SlipwayError):
    """The thing is not in a state in which this can be done."""

    status = 409
    code = "wrong_state"
    title = _("Not possible in this state")
    default = _("The thing is not in a state in which this can be done.")


class Conflict(SlipwayError):
    """The thing has changed, or one like it exists already."""

    status = 409
    code = "conflict"
    title = _("Conflict")
    default = _("The thing has changed, or one like it exists already.")


class PreconditionFailed(Conflict):
    """The thing is no longer as the request took it to be (If-Match)."""

    status = 412
    code = "precondition_failed"


class StaleEpoch(SlipwayError):
    """This attempt is no longer the current one: its lease ran out and its writes are refused."""

    status = 409
    code = "stale_epoch"
    title = _("Stale attempt")
    default = _(
        "This attempt is no longer the current one: its lease ran out and its writes are refused."
    )
