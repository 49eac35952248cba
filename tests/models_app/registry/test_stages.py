"""Stages: moved through policy, with approvals bound to exactly these files."""

import pytest

from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import approval_vote, approval_withdraw
from models_app.audit.models import AuditEvent
from models_app.core.errors import Conflict, FieldError, NotFound, PermissionDenied, WrongState
from models_app.registry.models import ModelVersion
from models_app.registry.services import (
    stage_move_withdraw,
    version_quarantine,
    version_stage_move,
)
from tests.factories.deployments import environment, ready_version, serving

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture(autouse=True)
def environments(db):
    return {name: environment(name) for name in ("staging", "production")}


@pytest.fixture
def version(team):
    return ready_version(team)


def moved(actor, version, to, reason="because"):
    return version_stage_move(actor=actor, version=version, to=to, reason=reason)


def stage_of(version):
    return ModelVersion.objects.get(pk=version.pk).stage


def staged(actor, version):
    moved(actor, version, "staging")
    return version


class TestMoves:
    def test_into_staging_is_done_at_once(self, ben, version):
        move = moved(ben, version, "staging")

        assert (move.state, move.approval) == ("done", None)
        assert stage_of(version) == "staging"
        event = AuditEvent.objects.get(action="model_version.stage_moved")
        assert event.changes["stage"] == {"from": "none", "to": "staging"}
        assert event.changes["digest"] == version.digest

    def test_into_production_waits_for_the_last_vote(self, ben, dan, version):
        move = moved(ben, staged(ben, version), "production")

        assert (move.state, stage_of(version)) == ("waiting", "staging")
        request = ApprovalRequest.objects.get(pk=move.approval)
        approval_vote(actor=dan, request=request, decision="approve")
        move.refresh_from_db()
        request.refresh_from_db()
        assert (move.state, request.state, stage_of(version)) == ("done", "executed", "production")

    @pytest.mark.parametrize("how", ["reject", "withdraw request", "withdraw move"])
    def test_what_is_not_agreed_to_is_not_done(self, ben, dan, version, how):
        move = moved(ben, staged(ben, version), "production")
        request = ApprovalRequest.objects.get(pk=move.approval)
        if how == "reject":
            approval_vote(actor=dan, request=request, decision="reject", comment="No")
        elif how == "withdraw request":
            approval_withdraw(actor=ben, request=request)
        else:
            stage_move_withdraw(actor=ben, move=move)

        move.refresh_from_db()
        request.refresh_from_db()
        assert (move.state, stage_of(version)) == ("ended", "staging")
        assert request.state in ("rejected", "withdrawn")
        assert move.error
        assert moved(ben, version, "production").state == "waiting"  # it can be asked again

    def test_an_approval_is_for_exactly_these_files_in_this_state(self, ana, ben, dan, version):
        move = moved(ben, staged(ben, version), "production")
        request = ApprovalRequest.objects.get(pk=move.approval)
        version_quarantine(actor=ana, version=version, reason="Leaks names")

        with pytest.raises(WrongState):
            approval_vote(actor=dan, request=request, decision="approve")

        move.refresh_from_db()
        assert (move.state, stage_of(version)) == ("ended", "staging")

    def test_who_asked_does_not_decide(self, ana, version):
        move = moved(ana, staged(ana, version), "production")

        with pytest.raises(PermissionDenied):
            approval_vote(
                actor=ana, request=ApprovalRequest.objects.get(pk=move.approval),
                decision="approve",
            )  # fmt: skip

    def test_the_policy_of_the_environment_decides(self, ben, version, environments):
        staging, production = environments["staging"], environments["production"]
        staging.protected, staging.required_approvals = True, 2
        staging.save()
        assert ApprovalRequest.objects.get(pk=moved(ben, version, "staging").approval).required == 2
        stage_move_withdraw(actor=ben, move=version.stage_moves.get())
        staging.delete() if not staging.requests.exists() else None
        production.protected = False
        production.save()
        ModelVersion.objects.filter(pk=version.pk).update(stage="staging")

        assert moved(ben, version, "production").state == "done"

    @pytest.mark.parametrize(
        ("stage", "to"),
        [("none", "production"), ("none", "none"), ("staging", "none"), ("archived", "production"),
         ("production", "production"), ("archived", "none")],
    )  # fmt: skip
    def test_ways_that_are_not_there_are_refused(self, ben, version, stage, to):
        ModelVersion.objects.filter(pk=version.pk).update(stage=stage)

        with pytest.raises(WrongState):
            moved(ben, version, to)

    def test_what_serves_stays_in_production(self, ana, ben, team):
        deployment = serving(ana, team)
        version = deployment.active_revision.model_version
        ModelVersion.objects.filter(pk=version.pk).update(stage="production")

        with pytest.raises(WrongState, match="writer"):
            moved(ben, version, "archived")

    def test_only_one_move_waits_at_a_time(self, ben, version):
        moved(ben, staged(ben, version), "production")

        with pytest.raises(Conflict):
            moved(ben, version, "archived")

    def test_bad_input_names_the_field(self, ben, version):
        for given, field in (({"to": "moon"}, "to"), ({"to": "staging", "reason": ""}, "reason")):
            with pytest.raises(FieldError) as caught:
                version_stage_move(actor=ben, version=version, **{"reason": "because", **given})
            assert caught.value.field == field

    def test_viewers_and_outsiders_move_nothing(self, eve, cai, version):
        with pytest.raises(PermissionDenied):
            moved(eve, version, "staging")
        with pytest.raises(NotFound):
            moved(cai, version, "staging")


class TestApi:
    def test_a_move_its_request_and_its_history(self, ben, version, api_for):
        api, url = api_for(ben), f"{V1}/model-versions/{version.pk}/stage-transitions"

        done = api.post(url, {"to": "staging", "reason": "Looks good"}, format="json")
        waits = api.post(url, {"to": "production", "reason": "Ship it"}, format="json")
        taken = api.post(f"{url}/withdraw")
        history = api.get(url).json()["results"]

        assert (done.status_code, done.json()["state"]) == (200, "done")
        assert (waits.status_code, waits.json()["state"]) == (202, "waiting")
        assert api.get(f"{V1}/approvals/{waits.json()['approval']}").status_code == 200
        assert (taken.status_code, taken.json()["state"]) == (200, "ended")
        assert [(row["new"], row["state"]) for row in history] == [
            ("production", "ended"), ("staging", "done"),
        ]  # fmt: skip
        assert api.post(f"{url}/withdraw").status_code == 404

    def test_approvers_see_what_they_decide(self, ben, dan, version, client_for):
        move = moved(ben, staged(ben, version), "production")

        page = client_for(dan).get(f"/approvals/CR-{move.approval}/")

        assert page.status_code == 200
        assert "Production" in page.content.decode()
        assert version.digest in page.content.decode()
