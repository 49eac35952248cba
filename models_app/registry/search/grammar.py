"""From the words of a filter to a tree.

expression = part { "or" part }
part       = term { "and" term }
term       = "not" term | "(" expression ")" | comparison
comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
           | field [ "not" ] ( "like" | "ilike" ) text
           | field [ "not" ] "in" "(" value { "," value } ")"
           | field "is" [ "not" ] "null"
field      = name [ "." name { "." name } ]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from models_app.registry.search.tokens import FilterError, Token, tokens, unquoted

SIGNS = ("=", "!=", "<", "<=", ">", ">=")
#: More than any filter that people write; keeps the statement small.
DEEPEST, MOST = 20, 40


@dataclass(frozen=True)
class Value:
    """What a field is compared with: a number, a time, or a text."""

    kind: str
    text: str
    column: int


@dataclass(frozen=True)
class Comparison:
    """One field, a sign, and values: one, or several after `in`, or none after `is null`."""

    field: str
    name: str
    sign: str
    values: Sequence[Value]
    column: int
    negated: bool = False


@dataclass(frozen=True)
class Not:
    """The opposite."""

    of: "Node"


@dataclass(frozen=True)
class Join:
    """Several parts with `and` or `or` between them."""

    word: str
    parts: Sequence["Node"]


Node = Comparison | Not | Join


def parse_filter(text: str) -> Node | None:
    """The tree of a filter, None for an empty one; FilterError with the column otherwise."""
    if not text.strip():
        return None
    reader = _Reader(tokens(text))
    tree = reader.expression(0)
    if reader.now.kind != "end":
        raise reader.wrong(_("and, or, or the end"))
    return tree


class _Reader:
    """Walks along the words."""

    def __init__(self, words: Sequence[Token]) -> None:
        self.words, self.at, self.count = words, 0, 0

    @property
    def now(self) -> Token:
        return self.words[self.at]

    def take(self) -> Token:
        word = self.now
        self.at += 1
        return word

    def wrong(self, expected: str) -> FilterError:
        if self.now.kind == "end":
            said = _("the filter ends; %(expected)s was expected.") % {"expected": expected}
        else:
            words = {"expected": expected, "found": self.now.text[:40]}
            said = _("%(expected)s was expected, found %(found)s.") % words
        return FilterError(self.now.column, said)

    def expression(self, depth: int) -> Node:
        return self._join("or", self._part, depth)

    def _part(self, depth: int) -> Node:
        return self._join("and", self._term, depth)

    def _join(self, word: str, inner: Callable[[int], Node], depth: int) -> Node:
        parts = [inner(depth)]
        while self.now.word == word:
            self.take()
            parts.append(inner(depth))
        return parts[0] if len(parts) == 1 else Join(word, parts)

    def _term(self, depth: int) -> Node:
        if depth > DEEPEST:
            said = _("more than %(n)s levels of parentheses.") % {"n": DEEPEST}
            raise FilterError(self.now.column, said)
        if self.now.word == "not":
            self.take()
            return Not(self._term(depth + 1))
        if self.now.text == "(" and self.now.kind == "sign":
            self.take()
            inside = self.expression(depth + 1)
            self._expect(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Comparison:
        self.count += 1
        if self.count > MOST:
            said = _("more than %(n)s comparisons.") % {"n": MOST}
            raise FilterError(self.now.column, said)
        column = self.now.column
        field, name = self._field()
        negated = self.now.word == "not"
        if negated:
            self.take()
        word = self.now.word
        if word == "in":
            self.take()
            return Comparison(field, name, "in", self._list(), column, negated)
        if word in ("like", "ilike"):
            self.take()
            return Comparison(field, name, "like", [self._pattern()], column, negated)
        if word == "is" and not negated:
            self.take()
            return Comparison(field, name, "null", (), column, self._null())
        if self.now.kind == "sign" and not negated and self.now.text in (*SIGNS, "<>"):
            sign = self.take().text.replace("<>", "!=")
            return Comparison(field, name, sign, [self._value()], column)
        raise self.wrong(_("in or like") if negated else _("a comparison such as = or <"))

    def _field(self) -> tuple[str, str]:
        if self.now.kind != "name" or self.now.word:
            raise self.wrong(_("a field such as metrics.loss"))
        field, parts = self.take().text, []
        while self.now.text == "." and self.now.kind == "sign":
            self.take()
            if self.now.kind == "name":
                parts.append(self.take().text)
            elif self.now.kind in ("quoted", "text"):
                parts.append(unquoted(self.take()))
            else:
                raise self.wrong(_("a name"))
        return field, ".".join(parts)

    def _null(self) -> bool:
        negated = self.now.word == "not"
        if negated:
            self.take()
        if self.now.word != "null":
            raise self.wrong("null")
        self.take()
        return negated

    def _list(self) -> list[Value]:
        self._expect("(")
        values = [self._value()]
        while self.now.text == "," and self.now.kind == "sign":
            self.take()
            values.append(self._value())
            if len(values) > 100:
                raise FilterError(self.now.column, _("more than 100 values."))
        self._expect(")", _("a comma or )"))
        return values

    def _pattern(self) -> Value:
        if self.now.kind != "text":
            raise self.wrong(_("a text in quotes"))
        return self._value()

    def _value(self) -> Value:
        word = self.now
        if word.kind == "text":
            return Value("text", unquoted(self.take()), word.column)
        if word.kind in ("number", "time"):
            return Value(word.kind, self.take().text, word.column)
        if word.kind == "name" and not word.word:
            return Value("text", self.take().text, word.column)
        raise self.wrong(_('a number, a time or a text such as "a"'))

    def _expect(self, sign: str, expected: str = "") -> None:
        if self.now.kind != "sign" or self.now.text != sign:
            raise self.wrong(expected or sign)
        self.take()
