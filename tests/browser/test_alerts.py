"""The page of alerts: readable in every light and width, current when the clock finds something."""

import pytest
from playwright.sync_api import expect

from models_app.jobs.models import Job
from tests.browser.conftest import overflow
from tests.factories.alerts import evaluated, rule, watched
from tests.factories.jobs import submitted
from tests.factories.nodes import ready_node, silent_node


@pytest.fixture
def stuck(ana, team):
    """A queue that nobody serves, and a node that is away."""
    ready_node()
    silent_node("node-2")
    past = "2020-01-01T00:00:00Z"
    Job.objects.filter(pk=submitted(team).pk).update(
        run_after=past, created_at=past, state="pending"
    )
    note = "The page of the pool says why the jobs wait. Add a node or free one."
    lost = rule("node-lost", signal="nodes_unreachable", above=0, severity="info")
    watched(ana, team, rule("queue-stuck", severity="critical", note=note), lost)


@pytest.mark.parametrize(
    ("theme", "phone", "language"), [("light", True, "en"), ("dark", False, "zh-hans")]
)
def test_looks_right(
    new_page, sign_in, ana, stuck, violations, screenshot, theme, phone, language
) -> None:
    evaluated()
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    for path in ("/alerts/", "/configs/research/alerts/watch/", "/configs/new/?kind=alerts"):
        page.open(path)
        assert [*overflow(page), *violations(page)] == []
        screenshot(page, f"alerts-{path.split('/')[1]}-{theme}-{language}")


def test_a_new_alert_appears_and_is_acknowledged(page, sign_in, ana, stuck) -> None:
    sign_in(page, ana).open("/alerts/")
    expect(page.locator("#alert-rows")).to_contain_text("Nothing fires")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")

    evaluated()
    row = page.locator("tr", has_text="queue-stuck")
    expect(row).to_contain_text("Critical")
    expect(page.locator("#nav-entries a[href='/alerts/'] .count")).to_contain_text("2")
    row.get_by_role("button").click()
    expect(page.locator("tr", has_text="queue-stuck")).to_contain_text("Acknowledged")
    expect(page.locator("#nav-entries a[href='/alerts/'] .count")).to_contain_text("1")
