"""What forms of all pages share."""

from django import forms
from django.utils.translation import gettext as _

from models_app.core.errors import FieldError, InvalidInput


def add_errors(form: forms.BaseForm, error: InvalidInput, prefix: str = "") -> None:
    """Put each message of a service beside its field; what has no field goes on top of the form."""
    for path, messages in error.errors.items():
        name = path.removeprefix(prefix) if prefix else path
        field = name if name in form.fields else None
        for message in messages:
            form.add_error(field, message if field else f"{name}: {message}")


def whole_number(text: str, field: str) -> int:
    """What a form sent for a number that its page had filled in; FieldError for anything else."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise FieldError(field, _("Use a whole number."))
    return int(text)
