"""The counts of the side bar change while a page stays open, and nothing else of it does."""

import pytest
from playwright.sync_api import expect

from models_app.jobs.services import job_cancel
from tests.factories.deployments import deployment_of, revision_of
from tests.factories.jobs import submitted

JOBS = "#nav a[href='/jobs/']"
APPROVALS = "#nav a[href='/approvals/']"


def stays(page) -> None:
    """Leaves a mark that a reload would wipe away."""
    page.evaluate("window.mark = 1")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def test_counts_follow_work_and_approvals_without_a_reload(
    page, sign_in, ana, dan, team, screenshot
):
    sign_in(page, dan).open("/datasets/")
    stays(page)
    expect(page.locator("#nav .count")).to_have_count(0)

    job = submitted(team)
    revision_of(ana, deployment_of(ana, team, env="production"))

    expect(page.locator(f"{JOBS} .count")).to_contain_text("1")
    expect(page.locator(f"{APPROVALS} .count")).to_contain_text("1")
    expect(page.locator("#nav [aria-current=page]")).to_have_attribute("href", "/datasets/")
    screenshot(page, "side-bar-wide")

    job_cancel(actor=ana, job=job)

    expect(page.locator(f"{JOBS} .count")).to_have_count(0)
    assert page.evaluate("window.mark") == 1
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/jobs/")


@pytest.mark.parametrize("path", ["/", "/nodes/"])
def test_a_platform_admin_in_no_team_sees_all_work_come(page, sign_in, root, team, path):
    sign_in(page, root).open(path)
    stays(page)

    submitted(team)

    expect(page.locator(f"{JOBS} .count")).to_contain_text("1")
    assert page.evaluate("window.mark") == 1


def test_the_open_menu_of_a_phone_stays_open(new_page, sign_in, ana, team, screenshot):
    page = sign_in(new_page(phone=True), ana)
    page.open("/datasets/")
    stays(page)
    # Two changes: one while the menu slides in, one while it stands.
    page.get_by_role("button", name="Open navigation").click()
    submitted(team)
    expect(page.locator(f"{JOBS} .count")).to_contain_text("1")
    submitted(team)
    expect(page.locator(f"{JOBS} .count")).to_contain_text("2")

    expect(page.locator("#nav")).to_have_attribute("aria-modal", "true")
    expect(page.locator(JOBS)).to_be_in_viewport()
    screenshot(page, "side-bar-phone", full=False)
    page.locator(JOBS).click()
    page.wait_for_url("**/jobs/")
