"""From untrusted JSON to typed values, with errors that carry the path of the field."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from models_app.core.errors import InvalidInput

T = TypeVar("T", bound=BaseModel)


def parse(model: type[T], data: Any, prefix: str = "") -> T:
    """Validate `data` against a pydantic model; InvalidInput maps dotted paths to messages."""
    if not isinstance(data, dict):
        raise InvalidInput({prefix or "body": "Send a JSON object."})
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
        return "There is no such field. Remove it, or check its spelling."
    if problem["type"] == "missing":
        return "This field is needed."
    text = str(problem["msg"]).removeprefix("Value error, ")
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
