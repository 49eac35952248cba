"""How alerts come, stay and go, by the database's clock."""

import datetime as dt
import threading

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from models_app.alerts import evaluation, measuring
from models_app.alerts.evaluation import alerts_evaluate
from models_app.alerts.models import Alert
from models_app.alerts.services import alert_acknowledge
from models_app.alerts.states import AlertState, Ending
from models_app.audit.models import AuditEvent
from models_app.configs.services import overlay_revise
from models_app.core.errors import NotFound, PermissionDenied, WrongState
from models_app.jobs.models import Job
from tests.factories.alerts import evaluated, pass_time, rule, watched
from tests.factories.deployments import environment, serving
from tests.factories.jobs import submitted
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(team):
    """A job that has waited for ten minutes, and what its alerts are about."""
    ready_node()
    job = submitted(team)
    past = Now() - dt.timedelta(minutes=10)
    Job.objects.filter(pk=job.pk).update(run_after=past, created_at=past, state="pending")
    return job


def relieve(job):
    Job.objects.filter(pk=job.pk).update(run_after=Now(), created_at=Now())


def tense(job):
    Job.objects.filter(pk=job.pk).update(run_after=Now() - dt.timedelta(minutes=10))
    Job.objects.filter(pk=job.pk).update(created_at=Now() - dt.timedelta(minutes=10))


def actions():
    rows = AuditEvent.objects.filter(action__startswith="alert.").order_by("pk")
    return list(rows.values_list("action", flat=True))


def test_fires_after_the_condition_has_held_for_its_time(ana, team, waiting):
    revision = watched(ana, team, rule(for_seconds=120, severity="critical", note="Add a node."))

    alert = evaluated()
    assert (alert.state, actions()) == (AlertState.PENDING, [])
    pass_time(100)
    assert evaluated().state == AlertState.PENDING
    pass_time(30)
    alert = evaluated()

    assert (alert.state, alert.severity, alert.note) == ("firing", "critical", "Add a node.")
    assert (alert.revision, alert.subject, alert.threshold) == (revision, waiting.pool.name, 60)
    assert alert.value == pytest.approx(600, abs=10)
    assert actions() == ["alert.fired"]
    evaluated()
    assert actions() == ["alert.fired"], "it fires once"


def test_what_stops_before_its_time_leaves_nothing(ana, team, waiting):
    watched(ana, team, rule(for_seconds=120))
    evaluated()
    relieve(waiting)

    assert evaluated() is None
    tense(waiting)
    evaluated()
    pass_time(130, looking=False)
    assert evaluated().state == AlertState.PENDING, "nobody looked in between"


def test_does_not_flap(ana, team, waiting):
    watched(ana, team, rule(for_seconds=600))
    evaluated()
    pass_time(600)
    assert evaluated().state == AlertState.FIRING
    for _ in range(3):
        relieve(waiting)
        evaluated()
        pass_time(50)
        assert evaluated().state == AlertState.FIRING
        tense(waiting)
        assert evaluated().clear_since is None
    relieve(waiting)
    evaluated()
    pass_time(60)
    alert = evaluated()

    assert (alert.state, alert.ended_by) == (AlertState.RESOLVED, Ending.CLEARED)
    assert Alert.objects.count() == 1
    assert actions() == ["alert.fired", "alert.resolved"]
    tense(waiting)
    evaluated()
    assert Alert.objects.count() == 2, "the next time is another alert"


def test_an_empty_queue_is_no_wait_at_all(ana, team, waiting):
    watched(ana, team, rule())
    evaluated()
    Job.objects.filter(pk=waiting.pk).update(state="canceled", finished_at=Now())

    assert evaluated().ended_by == Ending.CLEARED


def test_what_is_not_known_never_fires_and_ends_after_a_while(ana, team, monkeypatch):
    values = {}
    monkeypatch.setitem(measuring.MEASURED, "request_p95_ms", lambda question: values)
    watched(ana, team, rule(signal="request_p95_ms", below=5, above=None))
    assert evaluated() is None

    values[team.pk, "writer"] = 4.0
    assert evaluated().state == AlertState.FIRING
    values.clear()
    assert evaluated().state == AlertState.FIRING
    pass_time(60)
    assert evaluated().ended_by == Ending.NO_DATA


def test_a_rule_that_is_gone_ends_its_alerts_at_once(ana, team, waiting):
    watched(ana, team, rule("old"), rule("slow", for_seconds=60))
    evaluated()
    revision = watched(ana, team, rule("new"))
    evaluated()

    found = {row.rule: (str(row.state), row.ended_by) for row in Alert.objects.all()}
    assert found == {"old": ("resolved", "rule_gone"), "new": ("firing", "")}
    assert Alert.objects.get(rule="new").revision == revision


def test_a_statement_that_fails_leaves_other_rules_alone(ana, team, waiting, monkeypatch):
    def broken(question):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    watched(ana, team, rule("wait"), rule("other", signal="nodes_unreachable", above=-1))
    assert alerts_evaluate() == 2
    monkeypatch.setitem(measuring.MEASURED, "nodes_unreachable", broken)
    assert alerts_evaluate() == 2
    assert set(Alert.objects.values_list("state", flat=True)) == {"firing"}


def test_teams_hear_only_of_their_own(ana, cai, team, other_team, waiting):
    watched(ana, team, rule())
    watched(cai, other_team, rule())

    alerts_evaluate()

    assert list(Alert.objects.values_list("team", flat=True)) == [team.pk]


def test_deployments_go_by_the_overlay_of_their_environment(settings, tmp_path, ana, team):
    settings.DATA_DIR = tmp_path
    ready_node()
    environment("production")
    serving(ana, team, name="draft")
    revision = watched(ana, team, rule("less", signal="replicas_missing", above=-1), rule("wait"))
    alerts_evaluate()
    assert Alert.objects.get().subject == "draft"

    strict = {"rules": [rule("more", signal="replicas_missing", above=-2, severity="critical")]}
    overlay = overlay_revise(
        actor=ana, config=revision.config, environment="development", patch=strict, reason="x"
    )
    alerts_evaluate()

    found = Alert.objects.exclude(state="resolved").get()
    assert (found.rule, found.overlay) == ("more", overlay)
    overlay_revise(
        actor=ana, config=revision.config, environment="development", patch={"rules": []},
        reason="quiet",
    )  # fmt: skip
    assert alerts_evaluate() == 0


def test_people_of_the_team_acknowledge(ana, eve, cai, team, waiting):
    watched(ana, team, rule())
    alert = evaluated()
    for actor, refused in ((eve, PermissionDenied), (cai, NotFound)):
        with pytest.raises(refused):
            alert_acknowledge(actor=actor, alert=alert)

    alert_acknowledge(actor=ana, alert=alert)
    with pytest.raises(WrongState):
        alert_acknowledge(actor=ana, alert=alert)
    assert evaluated().state == AlertState.ACKNOWLEDGED

    relieve(waiting)
    ended = evaluated()
    assert (ended.state, ended.acknowledged_by) == (AlertState.RESOLVED, ana)
    assert actions() == ["alert.fired", "alert.acknowledged", "alert.resolved"]


def test_who_acknowledges_meanwhile_is_not_overwritten(ana, team, waiting, monkeypatch):
    watched(ana, team, rule())
    evaluated()
    real = evaluation.rules_in_force

    def and_meanwhile():
        alert_acknowledge(actor=ana, alert=Alert.objects.get())
        return real()

    monkeypatch.setattr(evaluation, "rules_in_force", and_meanwhile)
    relieve(waiting)
    assert evaluated().state == AlertState.ACKNOWLEDGED
    monkeypatch.undo()
    assert evaluated().state == AlertState.RESOLVED


@pytest.mark.django_db(transaction=True)
def test_one_process_at_a_time_and_events_after_commit(ana, team, waiting, monkeypatch):
    told = []
    monkeypatch.setattr(
        "models_app.events.publish.publish_now", lambda *args: told.append((args[0], args[2:]))
    )
    watched(ana, team, rule())
    told.clear()
    found = []

    def other():
        found.append(alerts_evaluate())
        connection.close()

    with transaction.atomic():
        assert alerts_evaluate() == 1
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(20)
        assert (found, told) == ([0], [])
    assert told == [("alert.changed", (f"team.{team.pk}",))]
