"""From untrusted JSON to typed values, with errors that carry the path of the field."""

from typing import Any, TypeVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from pydantic import BaseModel, ValidationError

from models_app.core.errors import InvalidInput

T = TypeVar("T", bound=BaseModel)

#: Type of a pydantic error -> its sentence, for translation. Untranslated, pydantic's own words
#: are given, which know singular and plural.
SENTENCES = {
    "string_type": gettext_noop("Input should be a valid string."),
    "string_unicode": gettext_noop("Input should be a valid string without broken characters."),
    "string_too_short": gettext_noop("String should have at least %(min_length)s characters."),
    "string_too_long": gettext_noop("String should have at most %(max_length)s characters."),
    "int_type": gettext_noop("Input should be a valid integer."),
    "int_parsing": gettext_noop("Input should be a valid integer, this text is none."),
    "int_parsing_size": gettext_noop("Input should be a valid integer, this one is far too long."),
    "int_from_float": gettext_noop("Input should be a valid integer, without a fractional part."),
    "float_type": gettext_noop("Input should be a valid number."),
    "float_parsing": gettext_noop("Input should be a valid number, this text is none."),
    "finite_number": gettext_noop("Input should be a finite number."),
    "bool_type": gettext_noop("Input should be a valid boolean."),
    "bool_parsing": gettext_noop("Input should be a valid boolean: true or false."),
    "greater_than": gettext_noop("Input should be greater than %(gt)s."),
    "greater_than_equal": gettext_noop("Input should be greater than or equal to %(ge)s."),
    "less_than": gettext_noop("Input should be less than %(lt)s."),
    "less_than_equal": gettext_noop("Input should be less than or equal to %(le)s."),
    "literal_error": gettext_noop("Input should be one of %(expected)s."),
    "list_type": gettext_noop("Input should be a valid list."),
    "dict_type": gettext_noop("Input should be a valid object."),
    "too_short": gettext_noop(
        "List should have at least %(min_length)s items, not %(actual_length)s."
    ),
    "too_long": gettext_noop(
        "List should have at most %(max_length)s items, not %(actual_length)s."
    ),
}


def parse(model: type[T], data: Any, prefix: str = "") -> T:
    """Validate `data` against a pydantic model; InvalidInput maps dotted paths to messages."""
    if not isinstance(data, dict):
        raise InvalidInput({prefix or "body": _("Send a JSON object.")})
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(_by_field(error, prefix)) from None


def _by_field(error: ValidationError, prefix: str) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False, include_input=False):
        path = ".".join([*([prefix] if prefix else []), *(str(part) for part in problem["loc"])])
        found.setdefault(path or "body", []).append(_message(problem))
    return dict(found)


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return _("There is no such field. Remove it, or check its spelling.")
    if problem["type"] == "missing":
        return _("This field is needed.")
    sentence = SENTENCES.get(problem["type"], "")
    if sentence and _(sentence) != sentence:
        given = problem.get("ctx") or {}
        return _(sentence) % {name: _plain(value) for name, value in given.items()}
    text = str(problem["msg"]).removeprefix("Value error, ")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "。")) else ".")


def _plain(value: Any) -> str:
    """A bound, or the choices of a field, without the English words between them."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).replace(" or ", ", ")
