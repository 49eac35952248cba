"""Renders chat templates in a process of its own that may be killed.

Run as a script: only the standard library and Jinja are loaded, so it starts in a moment and
holds little. A template comes with a model, so it is somebody else's code: the sandbox keeps it
from the system, the limits here keep it from time and memory. Lines of JSON go in and out.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils

MEMORY_LIMIT = 256 * 2**20
OUTPUT_LIMIT = 2**20


class GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks the assistant's words for training; here it is only passed."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """Keep what is inside, drop the tag."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class PlainDict:
    """`dict(...)` without the attributes of the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Make a dictionary."""
        return dict(*args, **kwargs)


class PlainNamespace(jinja2.utils.Namespace):
    """A namespace that takes no underscore names, so nothing of CPython can be reached."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            PlainNamespace._check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        PlainNamespace._check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"{name!r} cannot be set on a namespace")


def environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """The same dialect that transformers gives its templates."""
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = _to_json
    env.globals.update(
        raise_exception=_raise,
        strftime_now=lambda form: datetime.now().strftime(form),
        dict=PlainDict(),
        namespace=PlainNamespace,
    )
    return env


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _answer(template: jinja2.Template, line: bytes) -> dict[str, Any]:
    try:
        parts, size = [], 0
        for part in template.generate(**json.loads(line)):
            size += len(part)
            if size > OUTPUT_LIMIT:
                return {"error": f"it makes more than {OUTPUT_LIMIT} characters"}
            parts.append(part)
        return {"text": "".join(parts)}
    except MemoryError:
        return {"error": "it needs too much memory"}
    except Exception as error:
        return {"error": str(error)[:500] or type(error).__name__}


def main() -> None:
    """First line: the template. Then one line of variables for each rendering."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    lines, out = sys.stdin.buffer, sys.stdout.buffer
    try:
        template = environment().from_string(json.loads(lines.readline()))
    except Exception as error:
        out.write(json.dumps({"refused": str(error)[:500]}).encode() + b"\n")
        out.flush()
        return
    out.write(b'{"ready":true}\n')
    out.flush()
    for line in iter(lines.readline, b""):
        out.write(json.dumps(_answer(template, line)).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
