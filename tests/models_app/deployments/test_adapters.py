"""Adapters beside a base that serves: what may be added, and how running replicas take it over."""

import pytest

from models_app.approvals.models import ApprovalRequest
from models_app.audit.models import AuditEvent
from models_app.core.clock import now
from models_app.core.errors import FieldError, NotFound, PermissionDenied, WrongState
from models_app.deployments import adapters as rules
from models_app.deployments import golden
from models_app.deployments.models import GoldenAnswer, Replica, Revision, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.selectors import deployment_get
from models_app.deployments.services import (
    deployment_adapter_add,
    deployment_adapter_remove,
    deployment_scale,
    revision_create,
    roll_back,
    rollout_abort,
)
from models_app.deployments.services.in_place import LIMIT, replica_wish
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.jobs import attempts
from models_app.registry.models import ModelVersion
from models_app.registry.services import version_quarantine
from models_app.registry.states import VersionState
from models_app.registry.use import version_uses
from tests.factories.deployments import (
    adapter_version,
    deployment_of,
    live,
    ready_version,
    revision_of,
    serving,
    settle,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def base(team):
    return ready_version(team, name="talker")


@pytest.fixture
def deployment(ana, team, base):
    return serving(ana, team, version=base)


@pytest.fixture
def adapter(team, base):
    return adapter_version(team, base)


def has(deployment, *, failed=None, **loaded):
    """Every ready replica says that it has loaded these versions."""
    for replica in live(deployment):
        said = {
            "loaded": {name: version.pk for name, version in loaded.items()},
            "failed": failed or {},
        }
        attempts.job_report(job=replica.job, data=said)
    reconcile_deployment(deployment.pk)
    deployment.refresh_from_db()


def add(ana, deployment, adapter, name="sql", **fields):
    return deployment_adapter_add(
        actor=ana, deployment=deployment, name=name, model_version=adapter, **fields
    )


def wished(deployment):
    """What the only replica is to have."""
    return {name: v.pk for name, v in replica_wish(live(deployment)[0]).adapters.items()}


def routed(deployment):
    arm = next(row for row in route_table() if row["deployment_id"] == deployment.pk)["arms"][0]
    return arm["number"], arm["adapters"], len(arm["replicas"])


class TestAdd:
    def test_replicas_that_run_take_it_over(self, ana, deployment, adapter):
        before = live(deployment)[0]

        revision = add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)

        assert revision.state == RevisionState.ROLLING_OUT
        assert wished(deployment) == {"sql": adapter.pk}
        assert routed(deployment) == (1, [], 1)
        has(deployment, sql=adapter)
        assert deployment.active_revision_id == revision.pk
        assert [r.pk for r in live(deployment)] == [before.pk]
        assert routed(deployment) == (2, ["sql"], 1)
        assert Rollout.objects.get(revision=revision).strategy == "in_place"
        assert AuditEvent.objects.filter(action="revision.activated").count() == 2

    def test_waits_until_every_replica_has_exactly_the_wanted_ones(self, ana, team, base, adapter):
        deployment = serving(ana, team, version=base, replicas=2)
        add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)

        first = live(deployment)[0]
        attempts.job_report(job=first.job, data={"loaded": {"sql": adapter.pk}, "failed": {}})
        reconcile_deployment(deployment.pk)

        deployment.refresh_from_db()
        assert deployment.active_revision.number == 1
        has(deployment, sql=adapter)
        assert deployment.active_revision.number == 2
        assert Replica.objects.filter(revision=deployment.active_revision).count() == 2

    def test_keeps_its_settings_and_binds_the_adapter(self, ana, deployment, adapter):
        active = deployment.active_revision

        revision = add(ana, deployment, adapter)

        assert revision.config_revision_id == active.config_revision_id
        assert revision.digest != active.digest
        other = adapter_version(adapter.model.team, adapter.base_version, text="other factors")
        third = add(ana, deployment, other, name="other")
        assert third.digest != revision.digest
        assert set(third.adapters.values_list("name", flat=True)) == {"sql", "other"}

    def test_a_second_one_builds_on_the_first_that_is_still_coming(
        self, ana, team, deployment, adapter, base
    ):
        add(ana, deployment, adapter)
        other = adapter_version(team, base, name="tuned-2")
        add(ana, deployment, other, name="poems")
        reconcile_deployment(deployment.pk)

        assert wished(deployment) == {"sql": adapter.pk, "poems": other.pk}

    def test_asks_for_approval_where_the_environment_is_protected(self, ana, team, base, adapter):
        deployment = deployment_of(ana, team, env="production")
        first = revision_of(ana, deployment, version=base)
        Revision.objects.filter(pk=first.pk).update(state=RevisionState.ACTIVE, activated_at=now())
        deployment.active_revision = first
        deployment.save()

        revision = add(ana, deployment, adapter)

        assert revision.state == RevisionState.PENDING_APPROVAL
        assert ApprovalRequest.objects.filter(subject_id=revision.pk).exists()

    def test_a_failure_fails_the_roll_out_with_its_reason(self, ana, deployment, adapter):
        revision = add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)

        has(deployment, failed={"sql": [adapter.pk, "It uses DoRA."]})

        revision.refresh_from_db()
        assert revision.state == RevisionState.FAILED
        assert "It uses DoRA." in revision.error
        assert deployment.active_revision.number == 1
        assert wished(deployment) == {}

    def test_gives_up_after_a_while(self, ana, deployment, adapter):
        revision = add(ana, deployment, adapter)
        Revision.objects.filter(pk=revision.pk).update(rollout_started_at=now() - 2 * LIMIT)

        reconcile_deployment(deployment.pk)

        revision.refresh_from_db()
        assert revision.state == RevisionState.FAILED

    def test_an_aborted_one_is_unloaded_again(self, ana, deployment, adapter):
        revision = add(ana, deployment, adapter)
        rollout_abort(actor=ana, revision=revision)

        assert wished(deployment) == {}
        assert live(deployment)[0].state == ReplicaState.READY

    def test_a_new_replica_starts_with_those_of_its_revision(self, ana, deployment, adapter):
        add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)

        scaled = deployment_scale(actor=ana, deployment=deployment, replicas=2)
        settle(deployment)

        assert deployment.active_revision_id == scaled.pk
        assert routed(deployment) == (3, ["sql"], 2)

    def test_of_a_deployment_that_does_not_serve(self, ana, team, adapter):
        with pytest.raises(FieldError, match="Nothing serves yet"):
            add(ana, deployment_of(ana, team, name="empty"), adapter)


class TestRefusals:
    def test_of_another_base(self, ana, team, deployment):
        other = adapter_version(team, ready_version(team, name="other", text="others"))
        with pytest.raises(FieldError, match="was trained on") as caught:
            add(ana, deployment, other)
        assert set(caught.value.errors) == {"adapters.sql"}

    def test_of_another_team(self, ana, other_team, base, deployment):
        with pytest.raises(FieldError, match="no such version"):
            add(ana, deployment, adapter_version(other_team, base))

    def test_of_what_is_no_adapter(self, ana, team, deployment):
        with pytest.raises(FieldError, match="is no adapter"):
            add(ana, deployment, ready_version(team, text="whole"))

    def test_of_one_that_is_not_ready(self, ana, deployment, adapter):
        ModelVersion.objects.filter(pk=adapter.pk).update(state=VersionState.QUARANTINED)
        with pytest.raises(FieldError, match="only a ready version"):
            add(ana, deployment, adapter)

    def test_of_a_name_that_is_taken(self, ana, team, base, deployment, adapter):
        add(ana, deployment, adapter)
        with pytest.raises(FieldError, match="already"):
            add(ana, deployment, adapter_version(team, base, name="tuned-2"))

    @pytest.mark.parametrize("name", ["v3", "A b", "", "x:y"])
    def test_of_names_that_cannot_be_asked_for(self, ana, deployment, adapter, name):
        with pytest.raises(FieldError):
            add(ana, deployment, adapter, name=name)

    def test_of_a_rank_that_is_too_great(self, ana, team, base, deployment):
        large = adapter_version(team, base, facts={"rank": 4096})
        with pytest.raises(FieldError, match="rank 4096"):
            add(ana, deployment, large)

    def test_of_too_many(self, ana, deployment, adapter, monkeypatch):
        monkeypatch.setattr(rules, "MOST", 1)
        add(ana, deployment, adapter)
        with pytest.raises(FieldError, match="at most 1"):
            add(ana, deployment, adapter, name="second")

    def test_of_an_engine_that_serves_none(self, ana, team, base, adapter):
        with pytest.raises(FieldError, match="slipway") as caught:
            revision_create(
                actor=ana,
                deployment=deployment_of(ana, team),
                model_version=base,
                spec={"backend": "vllm"},
                adapters={"sql": adapter},
            )
        assert set(caught.value.errors) == {"spec.backend"}

    def test_viewers_may_not_and_outsiders_find_nothing(self, eve, cai, deployment, adapter):
        with pytest.raises(PermissionDenied):
            add(eve, deployment, adapter)
        with pytest.raises(NotFound):
            add(cai, deployment, adapter)


class TestRemove:
    def test_is_unloaded_in_place(self, ana, deployment, adapter):
        add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)

        deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")
        reconcile_deployment(deployment.pk)

        assert wished(deployment) == {}
        has(deployment)
        assert routed(deployment) == (3, [], 1)
        assert len(live(deployment)) == 1

    def test_of_what_is_still_coming_takes_it_back(self, ana, deployment, adapter):
        coming = add(ana, deployment, adapter)

        found = deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")

        coming.refresh_from_db()
        assert coming.state == RevisionState.WITHDRAWN
        assert found.pk == deployment.active_revision_id

    def test_of_one_that_is_not_there(self, ana, deployment):
        with pytest.raises(FieldError, match="no adapter 'sql'"):
            deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")

    def test_a_roll_back_loads_it_again_in_place(self, ana, deployment, adapter):
        second = add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)
        deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")
        reconcile_deployment(deployment.pk)
        has(deployment)
        replica = live(deployment)[0].pk

        roll_back(actor=ana, deployment=deployment, to=second)
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)

        assert deployment.active_revision_id == second.pk
        assert [r.pk for r in live(deployment)] == [replica]

    @pytest.mark.parametrize(("said", "serves"), [("same", 2), ("other", 3)])
    def test_a_roll_back_is_proved_by_stored_answers_first(
        self, ana, deployment, adapter, monkeypatch, said, serves
    ):
        second = add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)
        GoldenAnswer.objects.create(revision=second, number=1, prompt="The ", text="same")
        deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")
        reconcile_deployment(deployment.pk)
        has(deployment)
        answer = golden.Answer(text=said, tokens=[])
        monkeypatch.setattr(golden, "ask", lambda replica, prompt, limit: answer)

        roll_back(actor=ana, deployment=deployment, to=second)
        reconcile_deployment(deployment.pk)
        golden.golden_round()
        has(deployment, sql=adapter)
        assert deployment.active_revision.number == 3
        golden.golden_round()
        reconcile_deployment(deployment.pk)

        deployment.refresh_from_db()
        assert deployment.active_revision.number == serves
        assert wished(deployment) == ({"sql": adapter.pk} if serves == 2 else {})


class TestQuarantine:
    def test_an_adapter_is_unloaded_and_the_rest_goes_on(self, ana, root, deployment, adapter):
        revision = add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)
        assert [use.id for use in version_uses(adapter)] == [deployment.pk]

        version_quarantine(actor=root, version=adapter, reason="poisoned", stop_serving=True)

        assert wished(deployment) == {}
        assert routed(deployment) == (2, [], 1)
        found = deployment_get(actor=ana, deployment_id=deployment.pk)
        assert found.stopped_at is None
        assert found.active_revision_id == revision.pk

    def test_no_way_leads_back_to_it(self, ana, root, deployment, adapter):
        second = add(ana, deployment, adapter)
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)
        deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")
        reconcile_deployment(deployment.pk)
        has(deployment)
        ModelVersion.objects.filter(pk=adapter.pk).update(state=VersionState.QUARANTINED)

        with pytest.raises(WrongState, match="Quarantined"):
            roll_back(actor=ana, deployment=deployment, to=second)


class TestApi:
    def url(self, deployment, rest=""):
        return f"/api/v1/deployments/{deployment.pk}/adapters{rest}"

    def test_adds_lists_and_removes(self, ana, api_for, deployment, adapter):
        made = api_for(ana).post(self.url(deployment), {"name": "sql", "model_version": adapter.pk})
        assert made.status_code == 201, made.content
        assert made.json()["adapters"] == {"sql": adapter.pk}
        (row,) = api_for(ana).get(self.url(deployment)).json()["adapters"]
        assert (row["state"], row["model"]) == ("loading", "research/writer:sql")
        reconcile_deployment(deployment.pk)
        has(deployment, sql=adapter)
        (row,) = api_for(ana).get(self.url(deployment)).json()["adapters"]
        assert (row["state"], row["replicas_loaded"], row["replicas_ready"]) == ("loaded", 1, 1)

        gone = api_for(ana).delete(self.url(deployment, "/sql"))

        assert gone.status_code == 202, gone.content
        assert gone.json()["adapters"] == {}
        (row,) = api_for(ana).get(self.url(deployment)).json()["adapters"]
        assert row["state"] == "unloading"

    def test_names_the_field(self, ana, api_for, team, deployment):
        whole = ready_version(team, text="whole")
        refused = api_for(ana).post(
            self.url(deployment), {"name": "sql", "model_version": whole.pk}
        )
        assert refused.status_code == 422
        assert "adapters.sql" in refused.json()["errors"]

    def test_a_revision_may_bring_them(self, ana, api_for, deployment, adapter):
        made = api_for(ana).post(
            f"/api/v1/deployments/{deployment.pk}/revisions",
            {
                "model_version": deployment.active_revision.model_version_id,
                "spec": {},
                "adapters": {"sql": adapter.pk},
            },
        )
        assert made.status_code == 201, made.content
        assert made.json()["adapters"] == {"sql": adapter.pk}
