"""Pages of routes without a browser: what the form means, who sees what, nonsense."""

import pytest

from console.pages.routes.condition_text import as_text, can_be_typed, typed
from console.pages.routes.draft import draft_of, spec_of
from console.pages.routes.rearranging import rearrange
from console.pages.routes.words import condition_words, rule_sentence
from models_app.routing.conditions import Condition
from models_app.routing.models import Route
from models_app.routing.spec import Rule, route_spec
from tests.factories.deployments import environment, serving
from tests.factories.routing import route_of, to
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
RICH = {
    "description": "Two\nlines",
    "sticky_by": "header:x-end-user",
    "rules": [
        {
            "name": "one",
            "when": [
                {"tenant": ["gold", "silver"]},
                {"not": {"header": {"name": "x-plan", "in": ["pro"]}}},
                {
                    "time": {
                        "zone": "Europe/Berlin",
                        "since": "08:00",
                        "until": "18:00",
                        "days": ["mon"],
                    }
                },
                {"characters": {"at_least": 5}},
                {"stream": False},
            ],
            "targets": [to("chat", 99.5), to("next", 0.5, revision=3)],
            "locked": True,
            "sticky_by": "user",
            "fallback": [],
            "max_tokens": 9,
        },
        {
            "name": "two",
            "when": [{"any": [{"task": ["a"]}, {"language": ["de"]}]}],
            "targets": [to("chat")],
        },
        {
            "name": "three",
            "when": [{"all": [{"any": [{"task": ["a"]}, {"user": ["b"]}]}, {"tenant": ["c"]}]}],
            "targets": [to("chat")],
            "priority": "low",
        },
        {
            "name": "four",
            "when": [{"header": {"name": "x-a", "present": False}}],
            "targets": [to("chat")],
        },
        {"name": "five", "when": [{"token_name": ["a, b"]}], "targets": [to("chat")]},
    ],
    "targets": [to("chat", 60), to("next", 40)],
    "fallback": [to("tiny")],
    "mirror": {"deployment": "next", "percent": 12.5, "judge": "tiny", "judge_by": "question"},
}


def test_the_form_says_all_that_a_route_can_say():
    spec = route_spec(RICH).plain()
    draft = draft_of(spec)

    assert route_spec(spec_of(draft)).plain() == spec
    assert not draft.errors
    # Turning the page twice changes nothing either.
    rearrange(draft, "more")
    assert route_spec(spec_of(draft)).plain() == spec


@pytest.mark.parametrize(
    ("go", "names"),
    [
        ("up:1", ["two", "one"]), ("down:0", ["two", "one"]), ("drop:0", ["two"]),
        ("add-rule", ["one", "two", ""]), ("up:0", ["one", "two"]), ("down:1", ["one", "two"]),
        ("drop:77", ["one", "two"]), ("drop:", ["one", "two"]), ("drop:-1", ["one", "two"]),
    ],
)  # fmt: skip
def test_rules_are_rearranged(go, names):
    draft = draft_of({**RICH, "rules": RICH["rules"][:2]})
    rearrange(draft, go)
    assert [rule["name"] for rule in spec_of(draft)["rules"]] == names


@pytest.mark.parametrize(
    ("test", "text", "value"),
    [
        ("tenant", "a,b , c", ["a", "b", "c"]),
        ("header", "x-a", {"name": "x-a"}),
        ("header", "x-a: b, c", {"name": "x-a", "in": ["b", "c"]}),
        ("tokens", "-20", {"at_most": 20}),
        ("characters", "3 – 20", {"at_least": 3, "at_most": 20}),
        ("stream", "No", False),
        (
            "time",
            "fri-mon 22:00-06:00 UTC",
            {
                "days": ["fri", "sat", "sun", "mon"],
                "since": "22:00",
                "until": "06:00",
                "zone": "UTC",
            },
        ),
    ],
)
def test_values_are_typed(test, text, value):
    assert typed(test, text) == value
    assert typed(test, as_text(test, value)) == value
    assert can_be_typed(test, value)


@pytest.mark.parametrize(
    ("test", "text"), [("tokens", "20"), ("tokens", "-"), ("stream", ""), ("time", "at night")]
)
def test_what_cannot_be_read_says_how_to_write_it(test, text):
    with pytest.raises(ValueError, match=r"Write|is no time"):
        typed(test, text)


def test_rules_read_as_sentences():
    rules = [Rule.model_validate(rule) for rule in RICH["rules"]]
    assert rule_sentence(rules[1]) == "If (the task is a or the language of the prompt is de)."
    assert rule_sentence(rules[3]) == "If the header x-a is missing."
    assert (
        "the header x-plan is not pro and the time is within mon 08:00-18:00 Europe/Berlin"
        in rule_sentence(rules[0])
    )
    assert rule_sentence(Rule(name="x", targets=[to("a")])) == "Always."
    double = Condition.model_validate(
        {"not": {"any": [{"stream": True}, {"tokens": {"at_most": 3}}]}}
    )
    assert (
        condition_words(double) == "not (the answer is streamed or the prompt has at most 3 tokens)"
    )


@pytest.fixture
def route(ana, team):
    serving(ana, team, name="chat")
    return route_of(ana, team, env="development")


PAGES = ["", "edit/", "revisions/1/"]
POSTS = ["roll-back/", "switch/", "remove/"]


def test_outsiders_learn_nothing(route, cai, client_for):
    base = "/routes/research/assistant/"
    assert_hidden(client_for(cai), [base + p for p in PAGES], [base + p for p in [*POSTS, "edit/"]])
    assert_needs_sign_in([base + p for p in PAGES], [base + p for p in POSTS])


def test_viewers_see_and_change_nothing(route, eve, client_for):
    client, base = client_for(eve), "/routes/research/assistant/"
    page = client.get(base)
    assert page.status_code == 200 and "Switch off" not in page.content.decode()
    assert client.get(base + "edit/").status_code == 403
    assert client.get("/routes/new/").status_code == 403
    data = {"base": "1", "to": "1", "on": "0", "reason": "x"}
    assert [client.post(base + post, data).status_code for post in POSTS] == [403] * 3


def test_switching_off_and_removing(route, ana, client_for):
    client, base = client_for(ana), "/routes/research/assistant/"
    client.post(base + "switch/", {"base": "1", "on": "0", "reason": "too busy"})
    route.refresh_from_db()
    assert route.current.spec["enabled"] is False and route.current.number == 2
    client.post(base + "remove/", {"base": "1"})  # written on a page that is out of date
    assert client.get(base).status_code == 200
    client.post(base + "remove/", {"base": "2"})
    assert client.get(base).status_code == 404
    assert "research/assistant" not in client.get("/search/?q=assistant").content.decode()


FORM = {
    "view": "form",
    "go": "save",
    "team": "research",
    "name": "other",
    "environment": "development",
    "to-0-deployment": "chat",
    "to-0-weight": "100",
}


RULE = {"rule-0-name": "a", "rule-0-to-0-deployment": "chat"}


@pytest.mark.parametrize(
    ("typed_in", "said"),
    [
        ({"name": "Not A Name"}, "lower-case letters"),
        ({"name": "chat"}, "has a deployment"),
        ({"environment": "moon"}, "Choose one."),
        ({"to-0-weight": "many"}, "Use a number."),
        ({"to-0-weight": "inf"}, "Use a number."),
        ({"to-0-weight": "40"}, "The weights make up 40, not 100."),
        ({"to-0-revision": "9"}, "has no revision r9"),
        ({"to-0-deployment": ""}, "Choose the deployment that answers."),
        (RULE | {"rule-0-if-0-test": "tokens", "rule-0-if-0-value": "x"}, "Write 100-2000"),
        (RULE | {"rule-0-if-0-test": "time", "rule-0-if-0-value": "Mars/X"}, "no such time zone"),
        (RULE | {"rule-0-name": ""}, "Use 1 to 60 letters"),
        (RULE | {"rule-0-raw": "when: 5"}, "list"),
        (RULE | {"rule-0-raw": "when: [{a: 1}]"}, "no such field"),
        ({"callers": "nobody-here"}, "You are in no team"),
        ({"mirror-deployment": "chat", "mirror-judge": "chat"}, "It would judge itself"),
        ({"mirror-deployment": "chat", "mirror-judge": "chta"}, "The team has no deployment"),
        ({"sticky": "header", "sticky_header": "X Y"}, "lower-case name of a header"),
        ({"view": "yaml", "yaml": "targets:\n - deployment: nowhere\n"}, "Line 2"),
        ({"view": "yaml", "yaml": "a: [\n"}, "Line"),
        ({"view": "yaml", "yaml": "{}"}, "This field is needed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_beside_what_was_typed(route, ana, client_for, typed_in, said):
    answer = client_for(ana).post("/routes/new/", {**FORM, **typed_in})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert Route.objects.count() == 1


def test_the_name_and_the_rules_are_complained_about_together(route, ana, client_for):
    page = client_for(ana).post(
        "/routes/new/", {**FORM, "name": "Not A Name", "to-0-deployment": ""}
    )
    assert "lower-case letters" in page.content.decode()
    assert "Choose the deployment that answers." in page.content.decode()
    assert 'is-invalid" name="to-0-deployment"' in page.content.decode()
    assert 'is-invalid" name="to-0-weight"' not in page.content.decode()


def test_a_route_is_made_by_the_form(route, ana, client_for):
    assert client_for(ana).post("/routes/new/", {**FORM, "reason": "a start"}).status_code == 302
    made = Route.objects.get(name="other")
    assert (made.current.reason, made.current.spec["targets"]) == ("a start", [to("chat", 100.0)])


def test_what_others_stored_meanwhile_is_shown_first(route, ana, client_for):
    client, url = client_for(ana), "/routes/research/assistant/edit/"
    mine = {
        "view": "form",
        "go": "save",
        "base": "1",
        "reason": "mine",
        "to-0-deployment": "chat",
        "description": "x",
    }
    assert client.post(url, {**mine, "description": "first"}).status_code == 302
    late = client.post(url, mine)
    assert late.status_code == 409 and b"stored in the meantime" in late.content
    assert client.post(url, {**mine, "base": "2"}).status_code == 302


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("ask=1", 200, "no rule matches"),
        ("ask=1&headers=nonsense", 422, "Write one header a line"),
        ("ask=1&at=yesterday", 422, "datetime"),
        ("ask=1&tenant=" + "x" * 99, 422, "at most 63"),
        ("ask=1&prompt=%00%ff", 200, "no rule matches"),
    ],
)
def test_the_tester(route, ana, client_for, query, status, said):
    answer = client_for(ana).get(f"/routes/research/assistant/?{query}")
    assert answer.status_code == status
    assert said in answer.content.decode()


def test_lists_find_and_filter(route, ana, client_for):
    client = client_for(ana)
    environment("staging")
    for query, found in {"": 1, "?q=assist": 1, "?q=zzz": 0, "?environment=staging": 0}.items():
        text = client.get(f"/routes/{query}").content.decode()
        assert text.count('class="name"') == found, query
