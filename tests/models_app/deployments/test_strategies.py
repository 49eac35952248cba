"""Each strategy from its first round to its last, as the gateway sees it."""

import pytest
from django.db.models import Value
from django.db.models.functions import Concat

from models_app.audit.models import AuditEvent
from models_app.configs.specs import ServingSpec
from models_app.core.clock import now
from models_app.core.errors import FieldError, PermissionDenied, WrongState
from models_app.deployments.models import RequestRecord, Rollout
from models_app.deployments.preview import rollout_plan
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.services import (
    deployment_scale,
    rollout_abort,
    rollout_pause,
    rollout_promote,
    rollout_resume,
)
from models_app.deployments.services.course import live_rollout
from models_app.deployments.states import ReplicaState
from models_app.deployments.timeline import event_line
from models_app.routing.models import MirrorPair
from tests.factories.deployments import live, revision_of, serving, settle
from tests.factories.rollouts import arms, calls, drain, later, start

pytestmark = pytest.mark.django_db


def coming(ana, team, strategy, *, replicas=1, was=None, **spec):
    """A deployment that serves r1 while r2 comes in."""
    deployment = serving(ana, team, replicas=was or replicas)
    revision_of(ana, deployment, strategy=strategy, replicas=replicas, **spec)
    reconcile_deployment(deployment.pk)
    return deployment


def states(deployment):
    return dict(deployment.revisions.values_list("number", "state"))


def kinds(deployment):
    return [e.kind for e in Rollout.objects.filter(deployment=deployment).first().events.all()]


def ready(deployment, number):
    rows = [r for r in live(deployment) if r.revision.number == number]
    return sum(r.state == ReplicaState.READY for r in rows)


class TestAnotherNumber:
    """The same model on more or fewer replicas is no change that could be compared."""

    @pytest.mark.parametrize("strategy", ["canary", "linear", "shadow", "blue_green"])
    def test_goes_in_one_switch_and_asks_nobody(self, ana, team, strategy):
        deployment = serving(ana, team, strategy=strategy, bake_s=600, wait_for_promotion=True)
        spec = deployment.active_revision.spec_in_effect
        settings = ServingSpec.model_validate({**spec, "replicas": 2})
        version = deployment.active_revision.model_version
        shown = rollout_plan(deployment, version, settings)["steps"]

        deployment_scale(actor=ana, deployment=deployment, replicas=2)

        assert [step["kind"] for step in live_rollout(deployment).plan] == ["finish"]
        assert [step["kind"] for step in shown] == ["finish"]
        settle(deployment)
        assert states(deployment) == {1: "superseded", 2: "active"}


class TestRolling:
    def test_one_after_another_until_all(self, ana, team):
        deployment = coming(ana, team, "rolling", replicas=3)
        seen = []
        for _ in range(3):
            assert start(deployment) == 1
            seen.append((ready(deployment, 1), ready(deployment, 2), arms(deployment)))
            drain(deployment)

        assert [row[:2] for row in seen] == [(2, 1), (1, 2), (1, 3)]
        assert [row[2].get(1, (0,))[0] for row in seen] == [75, 50, 0]
        assert states(deployment) == {1: "superseded", 2: "active"}
        assert arms(deployment) == {2: (100, 3)}

    def test_bad_figures_end_it(self, ana, team):
        deployment = coming(ana, team, "rolling", replicas=2)
        start(deployment)
        calls(deployment, 2, 20, failed=4)

        reconcile_deployment(deployment.pk)

        assert states(deployment)[2] == "failed"
        assert arms(deployment)[1][0] == 100
        drain(deployment)
        start(deployment)
        assert arms(deployment) == {1: (100, 2)}


def test_all_at_once_stops_the_old_ones_and_then_starts_the_new(ana, team):
    deployment = coming(ana, team, "all_at_once", replicas=2)
    reconcile_deployment(deployment.pk)
    assert arms(deployment) == {1: (100, 0), 2: (0, 0)}
    drain(deployment)
    assert ready(deployment, 1) == 0

    start(deployment, 1)
    assert arms(deployment) == {1: (0, 0), 2: (100, 1)}
    start(deployment)

    assert arms(deployment) == {2: (100, 2)}


class TestCanary:
    def test_gets_its_share_is_watched_and_takes_all(self, ana, team):
        deployment = coming(ana, team, "canary", canary_percent=20, bake_s=60)
        assert arms(deployment) == {1: (100, 1), 2: (0, 0)}
        start(deployment)
        assert arms(deployment) == {1: (80, 1), 2: (20, 1)}

        later(deployment, 30)
        assert arms(deployment) == {1: (80, 1), 2: (20, 1)}
        calls(deployment, 2, 12)
        later(deployment, 31)
        reconcile_deployment(deployment.pk)

        assert arms(deployment) == {2: (100, 1)}
        assert states(deployment) == {1: "superseded", 2: "active"}
        assert kinds(deployment) == [
            "started", "share", "watching", "passed", "step", "succeeded",
        ]  # fmt: skip

    def test_errors_turn_it_back_in_the_round_that_sees_them(self, ana, team):
        deployment = coming(ana, team, "canary", bake_s=600)
        start(deployment)
        calls(deployment, 1, 30)
        calls(deployment, 2, 20, failed=3)

        reconcile_deployment(deployment.pk)

        assert arms(deployment) == {1: (100, 1)}
        row = Rollout.objects.get(revision__number=2)
        assert row.state == "rolled_back"
        assert "3 of 20 requests failed" in row.verdict
        event = row.events.get(kind="bad_figures")
        assert (event.data["new"]["errors"], event.data["old"]["requests"]) == (3, 30)
        assert AuditEvent.objects.filter(action="rollout.rolled_back").count() == 1
        drain(deployment)
        assert ready(deployment, 2) == 0
        assert ready(deployment, 1) == 1

    def test_failures_that_callers_did_not_notice_count(self, ana, team):
        deployment = coming(ana, team, "canary", bake_s=600)
        start(deployment)
        calls(deployment, 2, 8)
        (new,) = [r.pk for r in live(deployment) if r.revision.number == 2]
        full = f"replica {new}: 429"
        calls(deployment, 1, 20, retries=1, detail=full)
        reconcile_deployment(deployment.pk)
        assert live_rollout(deployment).state == "running"
        calls(deployment, 1, 4, retries=1, detail=f"replica {new}: ConnectionResetError")

        reconcile_deployment(deployment.pk)

        assert "4 of 12 requests failed" in Rollout.objects.get(revision__number=2).verdict

    def test_slowness_turns_it_back(self, ana, team):
        deployment = coming(ana, team, "canary", max_slowdown=2.0)
        start(deployment)
        calls(deployment, 1, 20, first_token_ms=100)
        calls(deployment, 2, 20, first_token_ms=250)

        reconcile_deployment(deployment.pk)

        row = Rollout.objects.get(revision__number=2)
        assert (row.state, arms(deployment)) == ("rolled_back", {1: (100, 1)})
        assert "250 ms" in row.verdict

    @pytest.mark.parametrize(
        ("new", "old", "limits"),
        [
            ({"count": 9, "failed": 9}, {}, {}),  # too few to say anything
            ({"count": 50, "failed": 1}, {}, {"max_error_percent": 0}),  # one alone
            ({"count": 40, "failed": 2}, {}, {}),  # exactly the limit
            ({"count": 20, "first_token_ms": 9}, {"count": 20, "first_token_ms": 2}, {}),
            ({"count": 20, "first_token_ms": 900}, {"count": 5, "first_token_ms": 2}, {}),
            (
                {"count": 20, "first_token_ms": 900}, {"count": 20, "first_token_ms": 2},
                {"max_slowdown": 0},
            ),
        ],
    )  # fmt: skip
    def test_is_not_turned_back_by_chance(self, new, old, limits, ana, team):
        deployment = coming(ana, team, "canary", bake_s=600, **limits)
        start(deployment)
        calls(deployment, 2, **new)
        if old:
            calls(deployment, 1, **old)

        reconcile_deployment(deployment.pk)

        assert live_rollout(deployment).state == "running"

    def test_waits_a_while_for_requests_to_judge_by(self, ana, team):
        deployment = coming(ana, team, "canary", bake_s=60)
        start(deployment)
        later(deployment, 61)
        assert arms(deployment)[2] == (10, 1)
        assert kinds(deployment)[-1] == "few_requests"

        later(deployment, 120)
        reconcile_deployment(deployment.pk)

        assert arms(deployment) == {2: (100, 1)}
        assert "unjudged" in kinds(deployment)

    def test_waits_for_a_person(self, ana, team):
        deployment = coming(ana, team, "canary", bake_s=0, wait_for_promotion=True)
        start(deployment)
        later(deployment, 3600)
        assert arms(deployment)[2] == (10, 1)
        assert kinds(deployment)[-1] == "asks_person"

        rollout_promote(actor=ana, deployment=deployment, reason="looks good")
        reconcile_deployment(deployment.pk)

        assert arms(deployment) == {2: (100, 1)}
        assert AuditEvent.objects.get(action="rollout.promoted").changes["reason"] == "looks good"

    def test_starts_only_what_its_share_needs(self, ana, team):
        deployment = coming(ana, team, "canary", replicas=4, canary_percent=25, bake_s=0)
        assert start(deployment) == 1
        reconcile_deployment(deployment.pk)
        assert arms(deployment) == {1: (75, 4), 2: (25, 1)}
        assert start(deployment) == 3
        assert arms(deployment) == {2: (100, 4)}


def test_linear_grows_step_by_step(ana, team):
    deployment = coming(ana, team, "linear", step_percent=40, bake_s=10)
    start(deployment)
    shares = [arms(deployment)[2][0]]
    for _ in range(2):
        calls(deployment, 2, 10)
        later(deployment, 11)
        reconcile_deployment(deployment.pk)
        shares.append(arms(deployment)[2][0])

    assert shares == [40, 80, 100]


class TestShadow:
    def test_gets_copies_only_and_is_judged_by_them(self, ana, team):
        deployment = coming(ana, team, "shadow", canary_percent=50, bake_s=10)
        start(deployment)
        (route,) = route_table()
        assert [(a["percent"], a["mirror_percent"]) for a in route["arms"]] == [(100, 0), (0, 50)]
        calls(deployment, 2, 10, mirrored=True)

        later(deployment, 11)
        reconcile_deployment(deployment.pk)

        assert arms(deployment) == {2: (100, 1)}

    def test_copies_are_compared_with_their_requests(self, ana, team):
        deployment = coming(ana, team, "shadow", bake_s=10)
        start(deployment)
        calls(deployment, 1, 20, completion_tokens=7)
        calls(deployment, 2, 20, completion_tokens=7, mirrored=True)
        RequestRecord.objects.filter(mirrored=False).update(request_id=Concat(Value("x"), "pk"))
        originals = list(RequestRecord.objects.filter(mirrored=False).order_by("pk"))
        copies = RequestRecord.objects.filter(mirrored=True).order_by("pk")
        for place, (copy, original) in enumerate(zip(copies, originals, strict=True)):
            RequestRecord.objects.filter(pk=copy.pk).update(
                request_id=original.request_id,
                completion_tokens=7 if place < 15 else 8,
                total_ms=500,
            )

        reconcile_deployment(deployment.pk)

        row = Rollout.objects.get(revision__number=2)
        assert row.state == "rolled_back"
        assert "Copies take 500 ms (p95) where the requests themselves take 50 ms" in row.verdict
        copies = row.events.get(kind="bad_figures").data["copies"]
        assert (copies["pairs"], copies["alike"]) == (20, 15)

    @pytest.mark.parametrize(
        ("wins", "limit", "state"),
        [
            (2, 50, "rolled_back"),  # at most 30 % with confidence
            (8, 50, "running"),  # fewer than half, but by chance perhaps
            (0, 0, "running"),  # nobody looks
        ],
    )
    def test_what_the_judge_says_may_turn_it_back(self, ana, team, wins, limit, state):
        serving(ana, team, name="judge")
        spec = {"judge": "judge", "min_win_percent": limit, "bake_s": 600}
        deployment = coming(ana, team, "shadow", **spec)
        start(deployment)
        calls(deployment, 1, 20)
        calls(deployment, 2, 20, mirrored=True)
        old, new = deployment.revisions.order_by("number")
        verdicts = ["win"] * wins + ["loss"] * (20 - wins) + ["tie"] * 5 + [None]
        MirrorPair.objects.bulk_create(
            MirrorPair(
                request_id="r", at=now(), revision=old, mirror_deployment=deployment,
                mirror_revision=new, outcome="compared", verdict=verdict,
            )
            for verdict in verdicts
        )  # fmt: skip

        reconcile_deployment(deployment.pk)

        row = Rollout.objects.get(revision__number=2)
        assert row.state == state
        if state == "rolled_back":
            assert "The judge judge prefers 2 of 20 copies (10 %" in row.verdict
            event = row.events.get(kind="bad_figures")
            assert event.data["judge"]["ties"] == 5
            assert "2 won, 18 lost, 5 ties" in event_line(event).text

    def test_a_judge_that_said_nothing_holds_nothing_up_and_it_is_told(self, ana, team):
        serving(ana, team, name="judge")
        deployment = coming(ana, team, "shadow", judge="judge", min_win_percent=50, bake_s=10)
        start(deployment)
        calls(deployment, 1, 10)
        calls(deployment, 2, 10, mirrored=True)

        later(deployment, 11)

        event = Rollout.objects.get(revision__number=2).events.get(kind="passed")
        assert "The judge has said nothing of any copy." in event_line(event).text

    def test_a_deployment_does_not_judge_itself(self, ana, team):
        serving(ana, team, name="judge")
        with pytest.raises(FieldError) as caught:
            coming(ana, team, "shadow", judge="writer")
        assert caught.value.field == "spec.judge"

    def test_copies_that_fail_hurt_nobody(self, ana, team):
        deployment = coming(ana, team, "shadow")
        start(deployment)
        calls(deployment, 2, 10, failed=10, mirrored=True)

        reconcile_deployment(deployment.pk)

        assert Rollout.objects.get(revision__number=2).state == "rolled_back"
        assert arms(deployment) == {1: (100, 1)}


class TestSteering:
    def test_paused_it_stays_and_resumed_it_goes_on(self, ana, team):
        deployment = coming(ana, team, "canary", bake_s=10)
        start(deployment)
        rollout_pause(actor=ana, deployment=deployment, reason="lunch")
        calls(deployment, 2, 20)
        later(deployment, 3600)
        assert arms(deployment) == {1: (90, 1), 2: (10, 1)}
        with pytest.raises(WrongState, match="Resume it first"):
            rollout_promote(actor=ana, deployment=deployment)
        with pytest.raises(WrongState, match="paused already"):
            rollout_pause(actor=ana, deployment=deployment)

        rollout_resume(actor=ana, deployment=deployment)
        for _ in range(2):
            reconcile_deployment(deployment.pk)

        assert arms(deployment) == {2: (100, 1)}

    def test_bad_figures_end_a_paused_one(self, ana, team):
        deployment = coming(ana, team, "canary", bake_s=10)
        start(deployment)
        rollout_pause(actor=ana, deployment=deployment)
        calls(deployment, 2, 20, failed=20)

        reconcile_deployment(deployment.pk)

        assert arms(deployment) == {1: (100, 1)}

    def test_is_not_promoted_before_its_replicas_are_ready(self, ana, team):
        deployment = coming(ana, team, "canary")
        with pytest.raises(WrongState, match="0 of 1 replicas"):
            rollout_promote(actor=ana, deployment=deployment)

    def test_aborted_in_the_middle_everything_goes_back(self, ana, team):
        deployment = coming(ana, team, "rolling", replicas=2)
        start(deployment)
        drain(deployment)
        assert ready(deployment, 1) == 1

        rollout_abort(actor=ana, revision=deployment.revisions.get(number=2), reason="no")

        assert arms(deployment)[1][0] == 100
        for _ in range(2):
            drain(deployment)
        start(deployment)
        assert arms(deployment) == {1: (100, 2)}
        assert ready(deployment, 2) == 0

    def test_is_for_those_who_may_roll_out(self, ana, eve, team):
        deployment = coming(ana, team, "canary")
        for action in (rollout_pause, rollout_resume, rollout_promote):
            with pytest.raises(PermissionDenied):
                action(actor=eve, deployment=deployment)

    def test_needs_a_roll_out(self, ana, team):
        deployment = serving(ana, team)
        for action in (rollout_pause, rollout_resume, rollout_promote):
            with pytest.raises(WrongState, match="Nothing is being rolled out"):
                action(actor=ana, deployment=deployment)


def test_a_round_that_is_run_twice_changes_nothing_more(ana, team):
    deployment = coming(ana, team, "canary", replicas=2, bake_s=60)
    start(deployment)
    before = (arms(deployment), len(live(deployment)), kinds(deployment))

    for _ in range(3):
        reconcile_deployment(deployment.pk)

    assert (arms(deployment), len(live(deployment)), kinds(deployment)) == before
