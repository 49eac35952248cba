"""A roll-out as people follow it: the plan before, its share and steps, steering, a refused way."""

import pytest

from models_app.deployments.models import GoldenAnswer, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import roll_back
from models_app.deployments.services.golden import golden_compared, golden_store
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light
from tests.factories.deployments import ready_version, revision_of, serving, settle
from tests.factories.nodes import ready_node
from tests.factories.rollouts import arms, calls, later, start

HERE = "/deployments/research/writer/"


@pytest.fixture
def canary(ana, team):
    ready_node("node-1", slots=8)
    deployment = serving(ana, team, replicas=2)
    settings = {"canary_percent": 20, "bake_s": 600, "strategy": "canary"}
    revision_of(ana, deployment, replicas=2, **settings)
    reconcile_deployment(deployment.pk)
    start(deployment)
    calls(deployment, 1, 40)
    calls(deployment, 2, 12)
    return deployment


@in_wide_light
def test_the_page_shows_share_steps_and_timeline(
    canary, ana, new_page, sign_in, screenshot, phone, theme, language
):
    page = new_page(phone=phone, theme=theme, language=language)
    sign_in(page, ana).open(HERE)
    panel = page.locator("#deployment-news")
    panel.locator(".steps-line .now").wait_for()
    assert panel.locator("svg.split-bar").get_attribute("aria-label")
    assert panel.locator("table.tbl tbody tr").count() == 2
    assert page.locator("#deployment-timeline .track li").count() == 3
    assert not overflow(page)
    screenshot(page, f"rollout-{'phone' if phone else 'wide'}-{theme}-{language}")


def test_is_paused_resumed_and_promoted(page, sign_in, canary, ana):
    sign_in(page, ana).open(HERE)

    def confirm(button, ok, reason):
        page.get_by_role("button", name=button).click()
        dialog = page.locator("#confirm")
        dialog.get_by_label("Reason").fill(reason)
        dialog.get_by_role("button", name=ok).click()

    confirm("Pause", "Pause", "lunch")
    page.get_by_text("The roll-out is paused.").wait_for()
    page.locator("#deployment-timeline").get_by_text("“lunch”").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("The roll-out goes on.").wait_for()
    confirm("Promote", "Promote", "looks good")
    page.get_by_text("The next step begins.").wait_for()
    reconcile_deployment(canary.pk)
    start(canary)

    page.locator("#deployment-timeline").get_by_text("r2 gets all requests.").wait_for()
    assert arms(canary) == {2: (100, 2)}


def test_turned_back_it_says_by_which_figures(page, sign_in, canary, ana, screenshot):
    sign_in(page, ana).open(HERE)
    page.locator("#live[data-state=live]").wait_for()
    calls(canary, 2, 20, failed=18)

    reconcile_deployment(canary.pk)

    page.get_by_text("r2 was turned back by its figures").wait_for()
    page.locator("#deployment-timeline").get_by_text("56.25 % failed").wait_for()
    screenshot(page, "rollout-turned-back")


def test_the_form_says_that_the_pool_is_full(page, sign_in, ana, team, screenshot):
    ready_node("node-1", slots=1)
    serving(ana, team)
    version = ready_version(team, text="newer")
    sign_in(page, ana).open(f"{HERE}revisions/new/?version={version.pk}")

    page.get_by_text("old ones leave first and give their places").wait_for()
    page.get_by_text("requests of that time are held").wait_for()
    screenshot(page, "rollout-plan")


def test_a_refused_way_back_can_be_let_through(page, sign_in, ana, team, screenshot):
    deployment = serving(ana, team)
    first = deployment.active_revision
    golden_store(revision_id=first.pk, answers=[("The ", "cat sat", [1, 2]), ("1 2", "3", [7])])
    revision_of(ana, deployment)
    settle(deployment)
    roll_back(actor=ana, deployment=deployment)
    row = Rollout.objects.get(revision=first, ended_at=None)
    replica = first.replica_set.get()
    pks = list(GoldenAnswer.objects.order_by("number").values_list("pk", flat=True))
    answers = [(pks[0], "dog ran", False), (pks[1], "3", True)]
    golden_compared(rollout_id=row.pk, replica_id=replica.pk, answers=answers)
    reconcile_deployment(deployment.pk)

    sign_in(page, ana).open(HERE)
    page.get_by_text("The way back to r1 was refused").wait_for()
    screenshot(page, "rollout-refused")
    page.open(f"{HERE}revisions/1/")
    page.get_by_text("Golden answers").first.wait_for()
    page.get_by_text("dog ran", exact=True).wait_for()
    screenshot(page, "rollout-golden")
    page.open(HERE)
    page.get_by_role("button", name="Go back all the same").click()
    dialog = page.locator("#confirm")
    dialog.get_by_label("Reason").fill("r2 is worse")
    dialog.get_by_role("textbox").first.fill("writer")
    dialog.get_by_role("button", name="Go back all the same").click()
    page.get_by_text("r1 is let through.").wait_for()
    reconcile_deployment(deployment.pk)

    assert arms(deployment) == {1: (100, 1)}


def test_a_watch_that_is_over_goes_on_by_itself(page, sign_in, canary, ana):
    sign_in(page, ana).open(HERE)
    page.locator("#live[data-state=live]").wait_for()
    later(canary, 601)
    page.locator("#deployment-timeline").get_by_text("The figures are good.").wait_for()
