"""Typed readers of environment variables: loud on nonsense, secrets also from `NAME_FILE`.

Every variable is kept in `REGISTRY`: the reference page and compose.yaml are tested against it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable: its name, what it means, its default as text."""

    name: str
    help: str
    default: str
    secret: bool = False


REGISTRY: dict[str, Variable] = {}


def read_str(name: str, default: str | None, help: str, *, secret: bool = False) -> str:
    """The variable, or the content of the file named by `NAME_FILE`, or the default.

    Raises ImproperlyConfigured when nothing is given and there is no default.
    """
    REGISTRY[name] = Variable(name=name, help=help, default=default or "", secret=secret)
    value = os.environ.get(name)
    file = os.environ.get(f"{name}_FILE")
    if value in (None, "") and file:
        try:
            value = Path(file).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE={file} cannot be read: {error}") from error
    if value in (None, ""):
        if default is None:
            raise ImproperlyConfigured(
                f"{name} is not set. Run `python manage.py up`, or set {name} (or {name}_FILE)."
            )
        return default
    assert value is not None
    return value


def read_int(name: str, default: int, help: str, *, least: int = 0, most: int = 1 << 31) -> int:
    """A whole number between `least` and `most`, or ImproperlyConfigured."""
    text = read_str(name, str(default), help)
    try:
        value = int(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={text!r} is not a whole number") from None
    if not least <= value <= most:
        raise ImproperlyConfigured(f"{name}={value} must be between {least} and {most}")
    return value


def read_bool(name: str, default: bool, help: str) -> bool:
    """1/true/yes/on or 0/false/no/off, or ImproperlyConfigured."""
    text = read_str(name, "1" if default else "0", help).lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={text!r} is neither 1 nor 0")


def read_pairs(name: str, default: str, help: str) -> dict[str, str]:
    """`name=value` words separated by commas, or ImproperlyConfigured."""
    pairs = {}
    for word in read_list(name, default, help):
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise ImproperlyConfigured(f"{name}: {word!r} is not of the form name=value")
        pairs[key.strip()] = value.strip()
    return pairs


def read_list(name: str, default: str, help: str) -> list[str]:
    """Words separated by commas."""
    return [word.strip() for word in read_str(name, default, help).split(",") if word.strip()]
