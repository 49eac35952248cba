"""The section about scaling as people see it: the course, the hand, and what crashes."""

import datetime as dt

from models_app.core.clock import now
from models_app.deployments import load
from models_app.deployments.load import Load, load_report
from models_app.deployments.models import Deployment, ScalingEvent
from models_app.jobs import attempts
from models_app.jobs.models import Job
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light
from tests.factories.deployments import live, make_ready, serving, settle
from tests.factories.nodes import ready_node

HOURS = [
    {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:30", "replicas": 2},
    {"days": [], "start": "00:00", "end": "00:00", "replicas": 1},
]
COURSE = (
    (300, 1, 2, "hours", {}),
    (190, 2, 4, "load", {"running": 9, "waiting": 4, "target_requests": 4.0}),
    (170, 4, 6, "latency", {"first_token_ms": 812.4, "target_first_token_ms": 500}),
    (80, 6, 5, "load", {"running": 3, "waiting": 0, "target_requests": 4.0}),
    (70, 5, 4, "load", {"running": 3, "waiting": 0, "target_requests": 4.0}),
    (40, 4, 3, "hand", {"reason": "The fair begins", "for_s": 3600}),
)


def deployment_with_a_past(ana, team):
    ready_node("node-1")
    deployment = serving(
        ana, team, max_replicas=6, hours=HOURS, timezone="Europe/Berlin", target_first_token_ms=500
    )
    for minutes, before, after, cause, figures in COURSE:
        ScalingEvent.objects.create(
            deployment=deployment, at=now() - dt.timedelta(minutes=minutes), before=before,
            after=after, cause=cause, figures=figures,
        )  # fmt: skip
    Deployment.objects.filter(pk=deployment.pk).update(scaled_to=3)
    settle(deployment)
    return deployment


def crash(replica):
    """It dies four times, the last time just now."""
    for number in range(4):
        job = Job.objects.get(pk=replica.job_id)
        attempts.job_fail(
            job=job, code="killed", message="Killed.", permanent=False, from_outside=True,
            attempt={"exit_signal": "SIGKILL", "tail": f"Loading.\nThe last words of {number}."},
        )  # fmt: skip
        if number < 3:
            make_ready(replica)


@in_wide_light
def test_the_course_and_the_replicas_fit_every_look(
    sign_in, new_page, ana, team, phone, theme, language, screenshot, monkeypatch
):
    monkeypatch.setattr(load, "TTL_S", 60)
    deployment = deployment_with_a_past(ana, team)
    crash(live(deployment)[1])
    load_report("gateway", {deployment.pk: Load(running=7, waiting=2)})
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    page.open("/deployments/research/writer/")
    page.locator("#deployment-scaling .scaling-course svg").wait_for()
    screenshot(page, f"scaling-{'phone' if phone else 'desk'}-{theme}-{language}")
    assert overflow(page) == []


def test_setting_by_hand_and_letting_go(sign_in, page, ana, team):
    deployment = deployment_with_a_past(ana, team)
    sign_in(page, ana).open("/deployments/research/writer/")
    page.get_by_role("button", name="Set by hand").click()
    sheet = page.locator("#scale")
    sheet.get_by_label("Replicas").fill("4")
    sheet.get_by_label("At least so many for").select_option("900")
    sheet.get_by_label("Why").fill("a fair")
    sheet.get_by_role("button", name="Scale").click()
    page.get_by_text("4 replicas from now on.").wait_for()
    section = page.locator("#deployment-scaling")
    section.get_by_text("At least 4 until").wait_for()
    deployment.refresh_from_db()
    assert (deployment.scaled_to, deployment.held_at) == (4, 4)

    section.get_by_role("button", name="Let go").click()
    section.get_by_text("At least 4 until").wait_for(state="detached")
    deployment.refresh_from_db()
    assert (deployment.scaled_to, deployment.held_at) == (4, None)
