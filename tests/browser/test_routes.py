"""Routes as people use them: make one in the form, ask the tester, change it, go back."""

import pytest

from models_app.core.clock import now
from models_app.deployments.models import RequestRecord
from models_app.routing.models import MirrorPair, Route
from models_app.routing.services import route_revise
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.deployments import deployment_of, environment, serving
from tests.factories.routing import route_of, to


@pytest.fixture
def deployments(ana, team):
    serving(ana, team, name="chat")
    serving(ana, team, name="next")
    return deployment_of(ana, team, name="tiny")


def test_a_rule_is_made_tested_changed_and_taken_back(page, sign_in, ana, deployments):
    environment("development")
    sign_in(page, ana).open("/routes/")
    page.get_by_role("link", name="New route").first.click()
    page.get_by_label("Name", exact=True).first.fill("assistant")
    page.get_by_label("Environment").select_option("development")
    page.get_by_role("button", name="Add a rule").click()
    rule = page.locator("#rule-0")
    rule.get_by_label("Name").fill("gold-legal")
    rule.get_by_label("Locked").check()
    rule.get_by_label("What is tested").first.select_option("tenant")
    rule.get_by_label("Value").first.fill("gold")
    rule.get_by_role("button", name="Another row").click()
    rule.get_by_label("What is tested").nth(1).select_option("task")
    rule.get_by_label("Value").nth(1).fill("legal")
    rule.get_by_label("Deployment").first.select_option("chat")
    rest = page.get_by_role("group", name="Target")
    rest.last.get_by_label("Deployment").select_option("next")
    rest.last.get_by_label("Share in percent").fill("40")
    page.expected = ["422"]
    page.get_by_role("button", name="Make the route").click()
    page.get_by_text("The weights make up 40, not 100.").wait_for()
    page.locator("[name='to-0-weight']").fill("100")
    page.get_by_role("button", name="Make the route").click()

    page.get_by_text("If the key is of the team gold and the task is legal.").wait_for()
    page.locator("#tester").get_by_label("Team of the key").fill("gold")
    page.locator("#tester").get_by_label("Headers").fill("x-slipway-task: legal")
    page.get_by_role("button", name="Decide").click()
    answer = page.locator("#tester-answer")
    answer.get_by_text("locked by gold-legal").wait_for()
    assert "chat" in answer.locator(".route-verdict").inner_text()
    page.locator("#tester").get_by_label("Adapter").fill("sql")
    page.get_by_role("button", name="Decide").click()
    answer.get_by_text("Nothing of this has the adapter sql").wait_for()
    answer.get_by_text("It has no adapter sql: not asked.").first.wait_for()

    page.get_by_role("link", name="Change").click()
    page.get_by_role("button", name="YAML").click()
    text = page.locator("#yaml-text")
    text.fill(text.input_value().replace("deployment: next", "deployment: chat"))
    page.get_by_role("button", name="Show the changes").click()
    page.locator("#review").get_by_text("targets").first.wait_for()
    page.get_by_label("Reason").fill("next is not ready")
    page.get_by_role("button", name="Store it").last.click()
    page.get_by_text("r2 decides from now on.").wait_for()

    page.get_by_role("button", name="Go back to this").click()
    dialog = page.locator("#confirm")
    dialog.get_by_label("Reason").fill("it is")
    dialog.get_by_role("button", name="Go back").click()
    page.get_by_text("r1 decides again.").wait_for()
    route = Route.objects.get(name="assistant")
    assert (route.current.number, route.current.back_to, route.current.reason) == (3, 1, "it is")


@in_phone_dark
def test_pages_fit_in_every_look(
    new_page, sign_in, ana, team, deployments, violations, screenshot, phone, theme, language
):
    route = route_of(
        ana,
        team,
        env="development",
        description="What the help desk asks. Legal questions stay with what was audited.",
        rules=[
            {
                "name": "gold-legal",
                "when": [
                    {"tenant": ["research"]},
                    {"any": [{"task": "legal"}, {"language": "de"}]},
                ],
                "targets": [to("chat", revision=1)],
                "locked": True,
                "priority": "high",
                "fallback": [],
            },
            {
                "name": "after hours",
                "when": [{"time": {"since": "20:00", "until": "07:00", "zone": "Europe/Berlin"}}],
                "targets": [to("tiny")],
                "max_tokens": 200,
            },
        ],
        targets=[to("chat", 80), to("next", 15), to("tiny", 5)],
        fallback=[to("tiny")],
        mirror={"deployment": "next", "percent": 25, "judge": "chat", "judge_by": "question"},
    )
    spec = {**route.current.spec, "targets": [to("chat", 70), to("next", 25), to("tiny", 5)]}
    route_revise(actor=ana, route=route, spec=spec, reason="next has held for a week")
    rows = [("gold-legal", "", 40), ("default", "", 70), ("default", "ngram", 3)]
    for rule, degraded, count in rows:
        RequestRecord.objects.bulk_create(
            RequestRecord(
                request_id=f"r{n}", at=now(), deployment=deployments, endpoint="x", status=200,
                total_ms=80 + n, model="research/assistant", rule=rule, degraded=degraded,
            )
            for n in range(count)
        )  # fmt: skip
    next_ = type(deployments).objects.get(name="next")
    MirrorPair.objects.bulk_create(
        MirrorPair(
            request_id=f"m{n}", at=now(), route=route, mirror_deployment=next_,
            outcome="compared" if n else "dropped", same=n % 5 > 0 if n else None, alike=40,
            length=50, total_ms=90 + n, mirror_total_ms=120 + n if n else None,
            verdict=["tie", "win", "win", "loss", None][n % 5] if n else None,
        )
        for n in range(25)
    )  # fmt: skip
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    name = f"{'phone' if phone else 'wide'}-{theme}-{language}"
    asked = "ask=1&tenant=research&prompt=Wie+ist+das+Wetter%3F&headers=x-slipway-task%3A+fun"
    asked += "&adapter=sql"
    pages = {
        "list": "/routes/",
        "detail": f"/routes/research/assistant/?{asked}",
        "edit": "/routes/research/assistant/edit/",
        "revision": "/routes/research/assistant/revisions/2/",
        "new": "/routes/new/",
    }
    for key, address in pages.items():
        assert page.open(address).status == 200
        screenshot(page, f"route-{key}-{name}")
        assert [*overflow(page), *violations(page)] == [], address
