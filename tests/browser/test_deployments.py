"""Deployments and approvals as people use them: decide, follow the roll-out, roll back, scale."""

from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import revision_create
from models_app.events.publish import publish_now
from models_app.jobs import attempts
from tests.browser.conftest import overflow
from tests.browser.looks import in_looks
from tests.factories.deployments import (
    call_of,
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

    page.get_by_label("Replicas", exact=True).fill("3")
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


@in_looks
def test_the_log_leads_to_a_request_and_its_parts(
    new_page, sign_in, ana, team, screenshot, violations, phone, theme, language
):
    deployment = serving(ana, team)
    for n in range(60):
        call_of(
            deployment, f"req-{n:02}", user=ana, replica=live(deployment)[0], stream=True,
            gateway_wait_ms=20 + n, queue_ms=10, prefill_ms=30, first_token_ms=90 + n,
            total_ms=400 + n, cached_tokens=n % 10, completion_tokens=30,
        )  # fmt: skip
    newer = revision_of(ana, deployment)
    call_of(
        deployment, "req-lost", user=ana, revision=newer, status=502, outcome="replica_lost",
        resumes=1, degraded="ngram", detail="replica 7: lost after 12 tokens", stream=True,
        gateway_wait_ms=900, wake_ms=700, first_token_ms=1200, total_ms=2500, rule="german",
    )  # fmt: skip
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    look = f"{'phone' if phone else 'wide'}-{theme}-{language}"

    page.open("/deployments/research/writer/")
    page.locator("#deployment-figures").get_by_role("link", name="r2").wait_for()
    screenshot(page, f"deployment-figures-{look}")
    wrong = [*overflow(page), *violations(page)]
    page.open("/deployments/research/writer/requests/")
    screenshot(page, f"requests-{look}")
    wrong += [*overflow(page), *violations(page)]
    page.locator("a[rel=next]").click()
    page.get_by_text("req-05", exact=True).wait_for()
    page.open("/deployments/research/writer/requests/?outcome=failed")
    assert page.locator(".req-id").all_inner_texts() == ["req-lost"]
    page.locator(".req-id").click()

    lost = {"en": "Replica 7 was lost after 12", "zh-hans": "副本 7 在 12 个词元之后丢失"}
    page.get_by_text(lost[language]).wait_for()
    bars = page.locator(".fall .bar-1")
    widths = [bars.nth(n).bounding_box()["width"] for n in range(bars.count())]
    assert len(widths) == 4 and max(widths) == widths[-1]
    screenshot(page, f"request-{look}")
    wrong += [*overflow(page), *violations(page)]
    assert not wrong


def test_filters_send_themselves_and_figures_stay_current(page, sign_in, ana, team):
    deployment = serving(ana, team)
    call_of(deployment, "req-1", cache="hit")
    call_of(deployment, "req-2")
    sign_in(page, ana).open("/deployments/research/writer/requests/")

    page.get_by_label("Cache of answers").select_option("hit")
    page.wait_for_url("**cache=hit**")
    assert page.locator(".req-id").all_inner_texts() == ["req-1"]
    page.locator("#live[data-state=live]").wait_for()
    call_of(deployment, "req-3", cache="hit")
    publish_now("deployment.changed", {}, f"deployment.{deployment.pk}")
    page.get_by_text("req-3", exact=True).wait_for()

    page.open("/deployments/research/writer/?window=24h")
    page.get_by_role("link", name="15 min").click()
    page.wait_for_url("**window=15m**")
    page.locator("#deployment-figures").get_by_text("answers kept: 100.0%").wait_for()
