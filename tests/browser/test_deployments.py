"""Deployments and approvals as people use them: decide, follow the roll-out, roll back, scale."""

from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import revision_create
from models_app.jobs import attempts
from tests.factories.deployments import (
    claim,
    deployment_of,
    live,
    make_ready,
    ready_version,
    revision_of,
    serving,
    settle,
)


def test_an_approver_decides_and_the_page_follows_the_roll_out(
    page, sign_in, ana, dan, team, screenshot
):
    deployment = deployment_of(ana, team, env="production")
    request = revision_of(ana, deployment, reason="Better rhymes").approval
    sign_in(page, dan).open("/approvals/")
    page.get_by_role("link", name="Deploy poet v1").click()

    page.get_by_role("radio", name="Approve").check()
    page.get_by_role("button", name="Submit decision").click()
    page.get_by_text("Approved. The change is being carried out.").wait_for()
    screenshot(page)

    page.get_by_role("link", name="research/writer").first.click()
    page.get_by_text("0 of 1 replicas are ready.").wait_for()
    reconcile_deployment(deployment.pk)
    make_ready(live(deployment)[0])
    reconcile_deployment(deployment.pk)
    # No reload: the event and the fragment do it.
    page.locator("#deployment-head").get_by_text("In service").wait_for()
    request.refresh_from_db()
    assert request.state == "executed"


def test_roll_back_asks_why_and_serves_at_once(page, sign_in, ana, team):
    deployment = serving(ana, team)
    revision_of(ana, deployment)
    settle(deployment)
    sign_in(page, ana).open("/deployments/research/writer/")

    page.get_by_role("button", name="Roll back to this").click()
    dialog = page.locator("#confirm")
    dialog.get_by_text("Its replicas are still loaded").wait_for()
    dialog.get_by_label("Reason").fill("worse answers")
    dialog.get_by_role("button", name="Roll back").click()

    page.get_by_text("r1 serves again.").wait_for()
    deployment.refresh_from_db()
    assert deployment.active_revision.number == 1


def test_scale_can_be_left_and_done(page, sign_in, ana, team):
    deployment = serving(ana, team)
    sign_in(page, ana).open("/deployments/research/writer/")

    def open_dialog():
        page.get_by_role("button", name="More actions").click()
        page.get_by_role("button", name="Scale").first.click()

    open_dialog()
    page.locator("#scale").get_by_role("button", name="Cancel").click()
    page.locator("#scale").wait_for(state="hidden")
    open_dialog()
    page.locator("#scale").get_by_label("Replicas").fill("2")
    page.locator("#scale").get_by_role("button", name="Scale").click()

    page.get_by_text("r2 is being rolled out.").first.wait_for()
    assert deployment.revisions.get(number=2).replicas == 2


def test_the_form_says_what_it_will_start(page, sign_in, ana, team):
    deployment = serving(ana, team)
    version = ready_version(team, text="newer")
    sign_in(page, ana).open(f"/deployments/research/writer/revisions/new/?version={version.pk}")
    page.get_by_text("Starts 1 replica with about").wait_for()

    page.get_by_label("Replicas").fill("3")
    page.get_by_label("Threads").click()

    page.get_by_text("Starts 3 replicas with about").wait_for()
    page.get_by_role("button", name="Roll out").click()
    page.get_by_text("r2 is being rolled out").first.wait_for()
    assert deployment.revisions.get(number=2).replicas == 3


def test_a_failed_roll_out_says_so_without_a_reload(page, sign_in, ana, team):
    deployment = serving(ana, team)
    sign_in(page, ana).open("/deployments/research/writer/")
    page.locator("#live[data-state=live]").wait_for()
    revision_create(
        actor=ana, deployment=deployment, model_version=ready_version(team, text="b"), spec={}
    )
    reconcile_deployment(deployment.pk)
    job = claim(live(deployment)[-1])
    attempts.job_fail(job=job, code="oom", message="Too big.", permanent=True, attempt={})
    reconcile_deployment(deployment.pk)

    page.get_by_text("r2 did not come up").wait_for()
    page.get_by_role("link", name="See why").click()
    page.get_by_text("Too big.").wait_for()
