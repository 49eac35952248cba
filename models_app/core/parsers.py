"""JSON as the API reads it: of bounded size, with nothing in it that goes wrong later.

Python's own parser takes the last of two equal names, turns 1e999 into infinity, and lets lone
surrogates and NUL characters through; each would go wrong later, far from the field it came in.
"""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from models_app.core.errors import InvalidInput, SlipwayError

#: Deeper than any real document of the API, far less than what exhausts a stack.
DEEPEST = 64


class BodyTooLarge(SlipwayError):
    """The body is too large."""

    status = 413
    code = "too_large"
    title = gettext_lazy("The body is too large")


class StrictJSONParser(JSONParser):
    """application/json, read strictly."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """The value of the body; what is wrong with it is said with the name of the field."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            said = _("A JSON body may have at most %(n)s bytes.") % {"n": f"{limit:,}"}
            raise BodyTooLarge(said)
        try:
            value = json.loads(
                raw.decode("utf-8"),
                object_pairs_hook=_object,
                parse_constant=_no_constant,
                parse_float=_finite,
            )
        except UnicodeDecodeError as error:
            said = _("The body is not UTF-8: see byte %(n)s.") % {"n": error.start}
            raise ParseError(said) from None
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        except ValueError as error:
            said = _("The body is not JSON: %(problem)s.") % {"problem": error}
            raise ParseError(said) from None
        # NUL characters and lone surrogates can only have come as escapes.
        if b"\\u" in raw:
            for path, text in _strings(value, (), 0):
                _check(path, text)
        else:
            _check_depth(value, 0)
        return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput({_shown(twice): _("This field is given twice. Send it once.")})
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(_("%(name)s is no number of JSON") % {"name": name})


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(_("%(text)s is too large for a number") % {"text": text[:40]})
    return value


def _strings(node: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a value, names of fields included, with the path to it."""
    if depth > DEEPEST:
        raise ParseError(_("The JSON is nested more than %(n)s levels deep.") % {"n": DEEPEST})
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield path, name
            yield from _strings(value, (*path, name), depth + 1)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _strings(value, (*path, str(index)), depth + 1)


def _check_depth(node: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise ParseError(_("The JSON is nested more than %(n)s levels deep.") % {"n": DEEPEST})
    for value in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        if isinstance(value, dict | list):
            _check_depth(value, depth + 1)


def _check(path: tuple[str, ...], text: str) -> None:
    if "\x00" in text:
        problem = _("Remove the NUL character.")
    elif any("\ud800" <= char <= "\udfff" for char in text):
        problem = _("Half of a character (a lone surrogate) is left over. Send whole characters.")
    else:
        return
    raise InvalidInput({".".join(_shown(part) for part in path) or "body": problem})


def _shown(name: str) -> str:
    """A name that can be sent back whatever it holds."""
    return name[:200].encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
