"""What forms of all pages share."""

from django import forms

from models_app.core.errors import InvalidInput


def add_errors(form: forms.BaseForm, error: InvalidInput, prefix: str = "") -> None:
    """Put each message of a service beside its field; what has no field goes on top of the form."""
    for path, messages in error.errors.items():
        name = path.removeprefix(prefix) if prefix else path
        field = name if name in form.fields else None
        for message in messages:
            form.add_error(field, message if field else f"{name}: {message}")
