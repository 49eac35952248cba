"""The evaluator alone: splits, locks, conditions, languages. No database."""

import datetime as dt
import itertools
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.core.errors import InvalidInput
from models_app.routing.allotment import allot, allot_all, cell_of
from models_app.routing.evaluation import Evaluator
from models_app.routing.facts import Facts
from models_app.routing.language import guess_language
from models_app.routing.spec import CELLS, Target, route_spec

pytestmark = pytest.mark.nodb


def evaluator(spec, route_id=1):
    checked = route_spec(spec)
    return Evaluator(route_id, checked.plain(), allot_all(dict(checked.targets_by_rule()), {}))


def to(name, weight=100, **more):
    return {"deployment": name, "weight": weight, **more}


def targets(*cells):
    return [Target(deployment=f"d{n}", weight=count / 100) for n, count in enumerate(cells)]


def owners(runs):
    found = []
    for end, key in runs:
        found += [key] * (end - len(found))
    return found


LEGAL = {
    "rules": [
        {
            "name": "gold-legal",
            "when": [{"tenant": "gold"}, {"task": "legal"}],
            "targets": [to("chat", revision=7)],
            "locked": True,
        },
        {"name": "beta", "when": [{"header": {"name": "x-beta"}}], "targets": [to("next")]},
    ],
    "targets": [to("tiny")],
}


def legal(**facts):
    return evaluator(LEGAL).decide(Facts(**facts))


def test_the_rule_decides_and_everybody_else_gets_the_default():
    hit = legal(tenant="gold", headers={"x-slipway-task": "legal"})
    miss = legal(tenant="silver", headers={"x-slipway-task": "legal"})

    assert (hit.rule.name, str(hit.target)) == ("gold-legal", "chat r7")
    assert (miss.rule.name, str(miss.target)) == ("default", "tiny")


def test_the_task_may_stand_in_the_metadata_and_the_header_goes_first():
    body = {"metadata": {"task": "legal"}}

    assert legal(tenant="gold", read_body=lambda: body).rule.name == "gold-legal"
    facts = {"headers": {"x-slipway-task": "fun"}, "read_body": lambda: body}
    assert legal(tenant="gold", **facts).rule.name == "default"


@pytest.mark.parametrize("headers", [{}, {"x-slipway-task": "legal"}, {"x-beta": "1"}])
def test_no_header_leads_around_a_lock(headers):
    """Not even by claiming not to be meant."""
    assert legal(tenant="gold", headers=headers).lock == "gold-legal"
    assert legal(tenant="silver", headers=headers).lock == ""


def locked(*when):
    return {"name": "l", "when": list(when), "targets": [to("a")], "locked": True}


@pytest.mark.parametrize(
    ("when", "lock"),
    [
        ([], "l"),
        ([{"not": {"tenant": "gold"}}], ""),
        ([{"not": {"tenant": "silver"}}], "l"),
        ([{"any": [{"tenant": "silver"}, {"task": "x"}]}], "l"),
        ([{"any": [{"tenant": "silver"}, {"user": "x@y"}]}], ""),
        ([{"tenant": "gold"}, {"not": {"header": {"name": "x-a"}}}], "l"),
        ([{"all": [{"tenant": "silver"}, {"task": "x"}]}], ""),
    ],
)
def test_a_lock_goes_by_what_callers_cannot_choose(when, lock):
    spec = {"rules": [locked(*when)], "targets": [to("b")]}
    assert evaluator(spec).decide(Facts(tenant="gold")).lock == lock


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ([{"name": "a", "targets": [to("x")]}, locked({"tenant": "t"})], "rules.1.locked"),
        ([locked({"task": "t"}, {"token_name": "t"})], "rules.0.when"),
        ([locked({"tenant": "t"}), locked({"tenant": "t"})], "rules.0.name"),
        ([{"name": "default", "targets": [to("x")]}], "rules.0.name"),
        ([{"name": "a", "targets": [to("x", 60), to("y", 30)]}], "rules.0.targets"),
        ([{"name": "a", "targets": [to("x", 50), to("x", 50)]}], "rules.0.targets"),
        (
            [{"name": "a", "targets": [to("x", 33.333), to("y", 66.667)]}],
            "rules.0.targets.0.weight",
        ),
        ([{"name": "a", "targets": [to("x", -5), to("y", 105)]}], "rules.0.targets.0.weight"),
        ([{"name": "a", "targets": []}], "rules.0.targets"),
        ([{"name": "a", "when": [{}], "targets": [to("x")]}], "rules.0.when.0"),
        (
            [{"name": "a", "when": [{"tenant": "t", "task": "t"}], "targets": [to("x")]}],
            "rules.0.when.0",
        ),
        (
            [{"name": "a", "when": [{"all": [{"tenat": "t"}]}], "targets": [to("x")]}],
            "rules.0.when.0.all.0.tenat",
        ),
        (
            [{"name": "a", "when": [{"time": {"zone": "Mars/Base"}}], "targets": [to("x")]}],
            "rules.0.when.0.time.zone",
        ),
        (
            [
                {
                    "name": "a",
                    "when": [{"time": {"since": "25:00", "until": "3:00"}}],
                    "targets": [to("x")],
                }
            ],
            "rules.0.when.0.time.since",
        ),
        (
            [{"name": "a", "when": [{"header": {"name": "Cookie"}}], "targets": [to("x")]}],
            "rules.0.when.0.header.name",
        ),
        (
            [{"name": "a", "when": [{"header": {"name": "cookie"}}], "targets": [to("x")]}],
            "rules.0.when.0.header.name",
        ),
        (
            [
                {
                    "name": "a",
                    "when": [{"characters": {"at_least": 9, "at_most": 3}}],
                    "targets": [to("x")],
                }
            ],
            "rules.0.when.0.characters",
        ),
        ([{"name": "a", "sticky_by": "cookie", "targets": [to("x")]}], "rules.0.sticky_by"),
        ([{"name": "a\r\nx: y", "targets": [to("x")]}], "rules.0.name"),
    ],
)
def test_errors_name_the_field(rules, path):
    with pytest.raises(InvalidInput) as caught:
        route_spec({"rules": rules, "targets": [to("x")]})
    assert path in caught.value.errors


def test_conditions_nest_only_so_deep():
    inner = {"tenant": "t"}
    for _ in range(6):
        inner = {"all": [inner]}
    with pytest.raises(InvalidInput) as caught:
        route_spec(
            {"rules": [{"name": "a", "when": [inner], "targets": [to("x")]}], "targets": [to("x")]}
        )
    assert "rules.0.when" in caught.value.errors


def body(*texts):
    return {"messages": [{"role": "user", "content": text} for text in texts]}


NIGHT = {"time": {"zone": "Europe/Berlin", "since": "22:00", "until": "06:00", "days": ["fri"]}}
WINTER = dt.datetime(2026, 11, 27, 21, 30, tzinfo=dt.UTC)  # a Friday, 22:30 in Berlin


@pytest.mark.parametrize(
    ("condition", "facts", "holds"),
    [
        ({"tenant": ["a", "b"]}, {"tenant": "B"}, True),
        ({"tenant": "a"}, {}, False),
        ({"token": "slip_abc*"}, {"token": "slip_abcdefg"}, True),
        ({"user": "*@firm.org"}, {"user": "ana@firm.org"}, True),
        ({"user": "*@firm.org"}, {"user": "ana@firm.org.evil"}, False),
        ({"user": "*"}, {"user": "x"}, True),
        ({"token_name": "*night*"}, {"token_name": "the nightly one"}, True),
        ({"header": {"name": "x-plan"}}, {"headers": {"x-plan": ""}}, True),
        ({"header": {"name": "x-plan", "in": "pro"}}, {"headers": {"x-plan": "Pro"}}, True),
        ({"header": {"name": "x-plan", "present": False}}, {"headers": {}}, True),
        ({"header": {"name": "x-plan", "in": ["pro"]}}, {"headers": {}}, False),
        ({"endpoint": "completions"}, {"endpoint": "completions"}, True),
        ({"stream": True}, {"stream": False}, False),
        ({"stream": False}, {"stream": False}, True),
        ({"characters": {"at_least": 3, "at_most": 3}}, {"read_body": lambda: body("abc")}, True),
        ({"characters": {"at_most": 0}}, {"read_body": lambda: {"prompt": ""}}, True),
        ({"tokens": {"at_least": 25}}, {"read_body": lambda: {"prompt": "a" * 100}}, True),
        ({"tokens": {"at_most": 24}}, {"read_body": lambda: {"prompt": "a" * 100}}, False),
        ({"tokens": {"at_least": 10}}, {"read_body": lambda: {"prompt": "中" * 10}}, True),
        ({"language": "de"}, {"read_body": lambda: body("Wie ist das Wetter?")}, True),
        ({"language": ["unknown"]}, {"read_body": lambda: body("12 + 4")}, True),
        ({"not": {"tenant": "a"}}, {"tenant": "a"}, False),
        ({"any": [{"tenant": "a"}, {"stream": True}]}, {"stream": True}, True),
        ({"all": [{"tenant": "a"}, {"stream": True}]}, {"stream": True}, False),
        (NIGHT, {"at": WINTER}, True),
        (NIGHT, {"at": WINTER + dt.timedelta(hours=7)}, True),  # Saturday 05:30: Friday's night
        (NIGHT, {"at": WINTER + dt.timedelta(hours=8)}, False),
        (NIGHT, {"at": WINTER - dt.timedelta(hours=24)}, False),
        # The same hour of UTC is another one of the clock in summer.
        (NIGHT, {"at": dt.datetime(2026, 7, 31, 20, 30, tzinfo=dt.UTC)}, True),
        ({"time": {"days": ["sun"]}}, {"at": dt.datetime(2026, 11, 29, tzinfo=dt.UTC)}, True),
    ],
)
def test_conditions(condition, facts, holds):
    spec = {
        "rules": [{"name": "r", "when": [condition], "targets": [to("a")]}],
        "targets": [to("b")],
    }
    assert (evaluator(spec).decide(Facts(**facts)).rule.name == "r") is holds


@pytest.mark.parametrize(
    "broken", [None, [], {"messages": 5}, {"messages": [None, {"content": 1}]}]
)
def test_a_body_of_nonsense_has_no_prompt(broken):
    facts = Facts(read_body=lambda: broken if isinstance(broken, dict) else {"prompt": broken})
    assert (facts.characters, facts.language, facts.task) == (0, "unknown", "")


def test_the_prompt_is_read_only_when_a_rule_asks():
    def never():
        raise AssertionError

    spec = {"rules": [locked({"tenant": "x"})], "targets": [to("b")]}
    assert evaluator(spec).decide(Facts(read_body=never)).rule.name == "default"


def test_the_target_then_its_companions_then_the_fallbacks():
    spec = {
        "rules": [
            {
                "name": "r",
                "targets": [to("a", 10), to("b", 20), to("c", 70)],
                "fallback": [to("a"), to("z")],
            }
        ],
        "targets": [to("t")],
        "fallback": [to("n")],
    }
    choice = evaluator(spec).decide(Facts(token="k"))

    first = choice.target.deployment
    rest = [name for name in ("c", "b", "a") if name != first]
    assert [target.deployment for target in choice.chain] == [first, *rest, "z"]
    spec["rules"] = []
    assert [t.deployment for t in evaluator(spec).decide(Facts()).chain] == ["t", "n"]


@pytest.mark.parametrize("percent", [5, 12.34, 50])
def test_a_share_is_what_it_says(percent):
    spec = {"targets": [to("a", round(100 - percent, 2)), to("b", percent)]}
    decide = evaluator(spec).decide
    count = sum(decide(Facts(token=f"slip_{n}")).target.deployment == "b" for n in range(10_000))

    sigma = math.sqrt(10_000 * percent / 100 * (1 - percent / 100))
    assert abs(count - 100 * percent) < 3 * sigma
    if percent == 5:
        assert abs(count / 100 - 5) <= 0.7


def test_a_key_has_its_cell_in_every_process():
    program = "from models_app.routing.allotment import cell_of; print(cell_of('1/r', 'token:x'))"
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(other.stdout) == cell_of("1/r", "token:x") == 9308


def test_who_is_recognised_by_what():
    spec = {"targets": [to("a", 50), to("b", 50)]}

    def side(by, **facts):
        return evaluator({**spec, "sticky_by": by}).decide(Facts(**facts)).side

    assert side("user", user="u", token="t") == "user:u"
    assert side("header:x-end-user", headers={"x-end-user": "7"}, token="t") == "x-end-user:7"
    assert side("header:x-end-user", token="t") == "token:t"
    assert side("token", user="u") == "user:u"
    assert side("request", request="req-1") == "request:req-1"


@st.composite
def shares(draw, most=6):
    """Cells of some targets that make up the whole; each has at least one."""
    cuts = draw(st.lists(st.integers(1, CELLS - 1), unique=True, min_size=1, max_size=most - 1))
    edges = [0, *sorted(cuts), CELLS]
    return [b - a for a, b in itertools.pairwise(edges)]


@given(shares())
def test_every_target_gets_its_cells_to_the_last_one(cells):
    runs = allot(targets(*cells))
    found = owners(runs)
    assert [found.count(f"d{n}") for n in range(len(cells))] == cells


@given(shares(), shares())
def test_growth_only_adds_people_and_no_cell_moves_without_need(old, new):
    before = owners(allot(targets(*old)))
    after = owners(allot(targets(*new), allot(targets(*old))))

    assert [after.count(f"d{n}") for n in range(len(new))] == new
    for n, cells in enumerate(new):
        had = {cell for cell, owner in enumerate(before) if owner == f"d{n}"}
        has = {cell for cell, owner in enumerate(after) if owner == f"d{n}"}
        if n < len(old) and cells >= old[n]:
            assert had <= has
        else:
            assert has <= had or n >= len(old)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "How can I get my parcel back from the shop?"),
        ("en", "Where is it?"),
        ("de", "Ich habe eine Frage zu meiner Rechnung, und sie ist nicht richtig."),
        ("fr", "Pourquoi est-ce que la facture n'est pas dans mon compte ?"),
        ("es", "¿Por qué no está la factura en mi cuenta? No lo entiendo."),
        ("it", "Perché la fattura non è nel mio conto?"),
        ("pt", "Por que a fatura não está na minha conta? Isso é muito caro."),
        ("nl", "Waarom is de factuur niet op mijn rekening?"),
        ("pl", "Dlaczego nie ma faktury na moim koncie, czy to jest błąd?"),
        ("ru", "Почему счёт не пришёл, и что это такое?"),
        ("uk", "Чому рахунок не прийшов, і що це таке?"),
        ("zh", "为什么我的账单不对？"),
        ("ja", "請求書が届いていません。"),
        ("ko", "왜 청구서가 오지 않았나요?"),
        ("el", "Πού είναι ο λογαριασμός μου;"),
        ("ar", "أين فاتورتي؟"),
        ("unknown", ""),
        ("unknown", "x = foo(bar, baz)"),
        ("unknown", "🙂🙂🙂"),
        ("unknown", "lorem"),
    ],
)
def test_languages(language, text):
    assert guess_language(text) == language
