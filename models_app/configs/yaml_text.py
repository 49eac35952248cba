"""Configurations as YAML 1.2 text: one canonical form out, a strict and small subset of it in.

In: mappings, lists and scalars of the core schema, so `no` is a word and `1e-3` a number. Tags,
anchors, aliases and a second document are refused, and so is a key given twice; whatever is wrong
is said with its line. Out: the same value always gives the same bytes, which read back give it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from django.utils.translation import gettext as _

from models_app.core.errors import InvalidInput

MOST_BYTES = 256 << 10
MOST_DEPTH = 32
#: Digits of the longest whole number; no setting needs more, and longer ones cost time.
MOST_DIGITS = 40

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BREAKS = re.compile("[\r\x85\u2028\u2029]")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class YamlError(InvalidInput):
    """A text that cannot be read, or values in it that are refused; `lines` maps paths to lines."""

    def __init__(
        self, errors: Mapping[str, str | list[str]], lines: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(errors)
        self.lines = dict(lines or {})
        self.extra = {"lines": self.lines}


@dataclass
class Document:
    """What a text says, and on which line (from 1) each dotted path of it begins."""

    value: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)

    def line_of(self, path: str) -> int | None:
        """The line of a path, or of what it lies in when it is not there itself."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path.rpartition(".")[0]
        return None

    def located(self, error: InvalidInput, prefix: str) -> YamlError:
        """The same errors, each saying its line; `prefix` is what their paths begin with."""
        found: dict[str, str | list[str]] = {}
        lines: dict[str, int] = {}
        for path, texts in error.errors.items():
            line = self.line_of(path.removeprefix(prefix).removeprefix("."))
            if line is None:
                found[path] = texts
                continue
            lines[path] = line
            found[path] = [at_line(line, text) for text in texts]
        return YamlError(found, lines)


def at_line(line: int, text: str) -> str:
    """A message with the line that it is about."""
    return _("Line %(line)s: %(text)s") % {"line": line, "text": text}


def yaml_load(text: str, *, name: str = "yaml") -> Document:
    """The mapping that a text holds. Raises YamlError under `name`, with the line."""
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        said = _("At most %(most)s KiB of YAML.") % {"most": MOST_BYTES >> 10}
        raise YamlError({name: said})
    try:
        return _Builder(name).build(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _at(name, mark.line + 1 if mark else 1, _syntax(error)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        said = _("This is no YAML text: %(problem)s") % {"problem": str(error)[:200]}
        raise YamlError({name: said}) from None


def _at(path: str, line: int, text: str) -> YamlError:
    return YamlError({path: at_line(line, text)}, {path: line})


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "")[:200]
    return _("The text cannot be read as YAML: %(problem)s.") % {"problem": problem}


class _Builder:
    """Makes values of the parser's events, with a stack of its own: no text can exhaust ours."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[str, int] = {}
        #: Open collections: (value, path, key that waits for its value).
        self.stack: list[tuple[Any, str, str | None]] = []
        self.root: Any = None
        self.documents = 0

    def build(self, text: str) -> Document:
        for event in yaml.parse(text, Loader=_LOADER):
            self._take(event)
        if self.root is None:
            self.root = {}
        if not isinstance(self.root, dict):
            raise _at(self.name, 1, _("Write settings as “name: value”, one a line."))
        return Document(self.root, self.lines)

    def _take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise _at(self.name, line, _("One document only: remove the second “---”."))
        elif isinstance(event, yaml.AliasEvent):
            said = _("References (*%(name)s) are not read here: write the value out.")
            raise _at(self.name, line, said % {"name": event.anchor})
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self._check_plain(event, line)
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            else:
                self._open(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()

    def _check_plain(self, event: Any, line: int) -> None:
        if event.anchor:
            said = _("Names for references (&%(name)s) are not read here: remove it.")
            raise _at(self.name, line, said % {"name": event.anchor})
        if event.tag:
            said = _("Tags (%(name)s) are not read here: remove it.")
            raise _at(self.name, line, said % {"name": event.tag})

    def _open(self, event: Any, line: int) -> None:
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        if self.stack and isinstance(self.stack[-1][0], dict) and self.stack[-1][2] is None:
            raise _at(self.name, line, _("A name must be a word, not a list or a mapping."))
        path = self._put(value, line)
        if len(self.stack) >= MOST_DEPTH:
            said = _("At most %(most)s levels inside each other.") % {"most": MOST_DEPTH}
            raise _at(path or self.name, line, said)
        self.stack.append((value, path, None))

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        if self.stack and isinstance(self.stack[-1][0], dict) and self.stack[-1][2] is None:
            self._key(event.value, line)
            return
        plain = event.implicit[0] and event.style in (None, "")
        try:
            value = _plain_value(event.value) if plain else _storable(event.value)
        except ValueError as error:
            raise _at(self._path(), line, str(error)) from None
        self._put(value, line)

    def _key(self, key: str, line: int) -> None:
        value, path, _none = self.stack[-1]
        here = f"{path}.{key}" if path else key
        if key in value:
            said = _("%(name)s is there twice; it was given on line %(first)s already.")
            raise _at(here, line, said % {"name": key, "first": self.lines.get(here, line)})
        self.lines[here] = line
        self.stack[-1] = (value, path, key)

    def _path(self) -> str:
        if not self.stack:
            return self.name
        value, path, key = self.stack[-1]
        last = key if isinstance(value, dict) else str(len(value))
        return f"{path}.{last}" if path else str(last)

    def _put(self, value: Any, line: int) -> str:
        if not self.stack:
            self.root = value
            return ""
        here = self._path()
        holder, path, key = self.stack[-1]
        if isinstance(holder, dict):
            holder[key] = value
            self.stack[-1] = (holder, path, None)
        else:
            self.lines[here] = line
            holder.append(value)
        return here


def _plain_value(text: str) -> Any:
    """A word without quotes, by the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text) or _OTHER_INT.fullmatch(text):
        if len(text) > MOST_DIGITS:
            raise ValueError(_("This number is too long."))
        return int(text, 0 if _OTHER_INT.fullmatch(text) else 10)
    if _SPECIAL.fullmatch(text):
        raise ValueError(_("Numbers must be finite."))
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError(_("This number is too large."))
        return number
    return _storable(text)


def _storable(text: str) -> str:
    """The database stores neither NUL nor half a character; each would fail far from here."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(_("Remove the control characters."))
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Rare line ends are only kept by quotes with escapes.
    style = '"' if _BREAKS.search(value) else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
# What only YAML 1.2 takes for a number (1e-3, 0o17) must be quoted as well when it is text.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"^(?:{_FLOAT.pattern})$"), list("-+0123456789.")
)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(rf"^(?:{_OTHER_INT.pattern})$"), list("0")
)


def yaml_dump(value: Mapping[str, Any]) -> str:
    """The canonical text: keys in the order given, block style, one setting a line."""
    if not value:
        return "{}\n"
    return yaml.dump(
        dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20,
        default_flow_style=False,
    )  # fmt: skip
