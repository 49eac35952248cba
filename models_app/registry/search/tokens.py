"""The words of a filter: names, numbers, texts, times, signs, each with its column."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError

#: A filter longer than this was made by a program that went wrong.
LONGEST = 2000
KEYWORDS = {"and", "or", "not", "in", "like", "ilike", "is", "null"}
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<time>\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)
  | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w]))
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<quoted>`[^`]+`)
  | (?P<name>[^\W\d][\w-]*)
  | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,|\.)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """One word. `kind`: name, quoted, number, text, time, sign, or end."""

    kind: str
    text: str
    column: int

    @property
    def word(self) -> str:
        """A keyword in lower case, or empty."""
        lower = self.text.lower()
        return lower if self.kind == "name" and lower in KEYWORDS else ""


class FilterError(FieldError):
    """The filter cannot be read: says at which column (from 1), and what was expected there."""

    def __init__(self, column: int, message: str) -> None:
        said = _("Column %(column)s: %(message)s") % {"column": column, "message": message}
        super().__init__("filter", said)
        self.column = column


def tokens(text: str) -> list[Token]:
    """All words with an `end` behind them, or FilterError."""
    if len(text) > LONGEST:
        said = _("the filter is longer than %(n)s characters.") % {"n": LONGEST}
        raise FilterError(LONGEST + 1, said)
    return [*_words(text), Token("end", "", len(text) + 1)]


def _words(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FilterError(at + 1, _unreadable(text, at))
        kind = str(found.lastgroup)
        if kind != "space":
            yield Token(kind, found[0], at + 1)
        at = found.end()


def _unreadable(text: str, at: int) -> str:
    if text[at] in "\"'`":
        return _("this quote is never closed.")
    if text[at : at + 2] in ("&&", "||"):
        return _("write and or or instead of %(sign)s.") % {"sign": text[at : at + 2]}
    return _("%(sign)s means nothing here.") % {"sign": text[at]}


def unquoted(token: Token) -> str:
    """The text between the quotes; a backslash takes the next character as it is."""
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
