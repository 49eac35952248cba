"""The filter language by itself: what can be read, and what is said of what cannot."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_app.core.actor import SYSTEM
from models_app.registry.search.fields import compile_filter
from models_app.registry.search.grammar import Comparison, Join, Not, parse_filter
from models_app.registry.search.tokens import FilterError

pytestmark = pytest.mark.nodb


def shown(node) -> str:
    """A tree as text with every parenthesis."""
    if isinstance(node, Not):
        return f"(not {shown(node.of)})"
    if isinstance(node, Join):
        return "(" + f" {node.word} ".join(shown(part) for part in node.parts) + ")"
    assert isinstance(node, Comparison)
    field = f"{node.field}.{node.name}" if node.name else node.field
    sign = f"{'not ' if node.negated else ''}{node.sign}"
    return f"{field} {sign} {'|'.join(value.text for value in node.values)}".strip()


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("  ", None),
        ("metrics.loss < 1.9", "metrics.loss < 1.9"),
        ("metrics.loss<1e-3", "metrics.loss < 1e-3"),
        ("a=1 or b=2 and c=3", "(a = 1 or (b = 2 and c = 3))"),
        ("(a=1 or b=2) and c=3", "((a = 1 or b = 2) and c = 3)"),
        ("not a=1 and b=2", "((not a = 1) and b = 2)"),
        ("NOT (a=1 AND b<>2)", "(not (a = 1 and b != 2))"),
        ("dataset in ('a', \"b\")", "dataset in a|b"),
        ("dataset not in (a)", "dataset not in a"),
        ("name like 'run%'", "name like run%"),
        ("name not like 'run%'", "name not like run%"),
        ("params.x is null", "params.x null"),
        ("params.x is not null", "params.x not null"),
        ("metrics.`val/loss (best)` >= -2", "metrics.val/loss (best) >= -2"),
        ("params.optimizer.lr = .5", "params.optimizer.lr = .5"),
        (r"tag.a = 'it\'s'", "tag.a = it's"),
        ("created > 2026-11-01", "created > 2026-11-01"),
        ("created > 2026-11-01T09:30:00.5+02:00", "created > 2026-11-01T09:30:00.5+02:00"),
        ("state = running", "state = running"),
        ("标签 = 'ü'", "标签 = ü"),
    ],
)
def test_what_can_be_read(text, tree):
    found = parse_filter(text)

    assert (None if found is None else shown(found)) == tree


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("metrics.loss", 13, "a comparison such as"),
        ("metrics.loss <", 15, "a number, a time or a text"),
        ("metrics.loss < and", 16, "a number, a time or a text"),
        ("metrics.", 9, "a name"),
        ("a = 1 b = 2", 7, "and, or, or the end"),
        ("a = 1 and", 10, "a field such as"),
        ("(a = 1", 7, ") was expected"),
        ("a = 1)", 6, "and, or, or the end"),
        ("a in ()", 7, "a number, a time or a text"),
        ("a in (1 2)", 9, "a comma or )"),
        ("a in 1", 6, "( was expected"),
        ("a not 1", 7, "in or like"),
        ("a like 1", 8, "a text in quotes"),
        ("a is 1", 6, "null"),
        ('a = "b', 5, "never closed"),
        ("a == 1", 4, "a number, a time"),
        ("a = 1 && b = 2", 7, "and"),
        ("a = 1; drop table", 6, "means nothing"),
        ("1 = 1", 1, "a field such as"),
        ("and = 1", 1, "a field such as"),
    ],
)
def test_what_cannot_be_read_says_where_and_what_was_expected(text, column, said):
    with pytest.raises(FilterError) as caught:
        parse_filter(text)

    assert caught.value.column == column
    assert caught.value.errors["filter"][0].startswith(f"Column {column}: ")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("nobody = 1", 1, "there is no field nobody"),
        ("metrics = 1", 1, "metrics.loss"),
        ("dataset.name = 'a'", 1, "there is no field dataset.name"),
        ("metrics.loss < 'a'", 16, "a number was expected"),
        ("metrics.loss like 'a'", 1, "like compares texts"),
        ("metrics.loss < 1e999", 16, "too large"),
        ("state = dead", 9, "running"),
        ("state < 'running'", 1, "= or in"),
        ("kind = serve", 8, "external"),
        ("created > 2026-13-45", 11, "a day or time"),
        ("created like 'x'", 1, "a time"),
        ("name is null", 1, "every run"),
    ],
)
def test_what_means_nothing_is_said(text, column, said):
    with pytest.raises(FilterError) as caught:
        compile_filter(parse_filter(text), SYSTEM)

    assert caught.value.column == column
    assert said in caught.value.message


def test_limits_keep_the_statement_small():
    for text in ("a=1 and " * 50 + "a=1", "(" * 30 + "a=1" + ")" * 30, "not " * 50 + "a=1",
                 "a in (" + "1," * 200 + "1)", "x" * 3000):  # fmt: skip
        with pytest.raises(FilterError):
            parse_filter(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab.=<>!()'\"` \\,0e-%1andornotlike;", max_size=60))
def test_any_text_is_read_or_refused_and_never_reaches_the_statement(text):
    try:
        sql, values = compile_filter(parse_filter(text), SYSTEM)
    except FilterError as error:
        assert 1 <= error.column <= len(text) + 1
        return
    assert sql.count("%s") == len(values)
    assert not set(sql) & set(';"`\\')
