"""What form an answer must have: OpenAI's `response_format`, and vLLM's names for the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from .errors import BadRequest
from .fields import Fields

Kind = Literal["json", "regex", "choice"]
#: A schema of this size has some thousand fields; compiling a larger one would take seconds.
SOURCE_LIMIT = 64 * 1024
MAX_ALTERNATIVES = 1024
_OLD_NAMES: dict[str, Kind] = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
}


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The form that an answer is held to; `source` is JSON for `json` and `choice`.

    `param` names the field of the request that asked for it, for complaints.
    """

    kind: Kind
    source: str
    param: str


def read_format(fields: Fields) -> AnswerFormat | None:
    """The one form that a request asks for, None where it asks for none."""
    found = [_response_format(fields), _structured_outputs(fields), *_old_names(fields)]
    asked = [item for item in found if item is not None]
    if len(asked) > 1:
        raise BadRequest(
            f"'{asked[0].param}' and '{asked[1].param}' cannot both decide on the answer's form; "
            "send one of them.",
            param=asked[1].param,
        )
    return asked[0] if asked else None


def _response_format(fields: Fields) -> AnswerFormat | None:
    form = fields.nested("response_format")
    if form is None:
        return None
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return AnswerFormat("json", '{"type":"object"}', "response_format")
    if kind != "json_schema":
        raise form.wrong("type", "must be 'text', 'json_object' or 'json_schema'")
    inner = form.nested("json_schema")
    if inner is None:
        raise form.wrong("json_schema", "is required where 'type' is 'json_schema'")
    inner.text("name", limit=64, required=True)
    inner.text("description", limit=4096)
    inner.boolean("strict")
    schema = inner.get("schema")
    if not isinstance(schema, dict):
        raise inner.wrong("schema", "must be an object: the JSON schema of the answer")
    inner.reject_unknown()
    form.reject_unknown()
    return AnswerFormat("json", _dumped(schema, "response_format"), "response_format")


def _structured_outputs(fields: Fields) -> AnswerFormat | None:
    form = fields.nested("structured_outputs")
    if form is None:
        return None
    if form.boolean("json_object"):
        return AnswerFormat("json", '{"type":"object"}', form.param("json_object"))
    names: tuple[Kind, ...] = ("json", "regex", "choice")
    given = [name for name in names if form.get(name) is not None]
    if len(given) != 1:
        raise fields.wrong("structured_outputs", f"must have exactly one of {', '.join(names)}")
    form.reject_unknown()
    return _form(given[0], form.get(given[0]), form.param(given[0]))


def _old_names(fields: Fields) -> list[AnswerFormat | None]:
    return [
        None if fields.get(name) is None else _form(kind, fields.get(name), name)
        for name, kind in _OLD_NAMES.items()
    ]


def _form(kind: Kind, value: Any, param: str) -> AnswerFormat:
    if kind == "json":
        if isinstance(value, str):
            return AnswerFormat(kind, _short(value, param), param)
        if not isinstance(value, dict):
            raise BadRequest(f"'{param}' must be a JSON schema.", param=param)
        return AnswerFormat(kind, _dumped(value, param), param)
    if kind == "choice":
        strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not strings or not 1 <= len(value) <= MAX_ALTERNATIVES or "" in value:
            raise BadRequest(
                f"'{param}' must be an array of 1 to {MAX_ALTERNATIVES} strings, none empty.",
                param=param,
            )
        return AnswerFormat(kind, _dumped(value, param), param)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"'{param}' must be a string.", param=param)
    return AnswerFormat(kind, _short(value, param), param)


def _dumped(value: Any, param: str) -> str:
    return _short(json.dumps(value, separators=(",", ":")), param)


def _short(source: str, param: str) -> str:
    if len(source) > SOURCE_LIMIT:
        raise BadRequest(
            f"'{param}' has {len(source)} characters; at most {SOURCE_LIMIT} are served.",
            param=param,
        )
    return source
