"""What people do with jobs."""

import pytest

from models_app.audit.models import AuditEvent
from models_app.core.errors import Conflict, InvalidInput, NotFound, PermissionDenied, WrongState
from models_app.jobs.control import job_set_priority
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel, job_rerun, job_submit
from models_app.jobs.states import JobState
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db


class TestJobSubmit:
    def test_stores_a_queued_job_with_an_audit_event(self, ben, team):
        job = submitted(team, actor=ben)

        assert job.state == JobState.PENDING
        assert AuditEvent.objects.get(object_id=str(job.pk)).action == "job.submitted"

    def test_names_each_wrong_parameter_by_its_path(self, ben, team):
        with pytest.raises(InvalidInput) as caught:
            submitted(team, actor=ben, params={"steps": -1, "stepz": 3})

        assert set(caught.value.errors) == {"params.steps", "params.stepz"}
        assert not Job.objects.exists()

    def test_refuses_an_unknown_kind_and_names_the_known_ones(self, ben, team):
        with pytest.raises(InvalidInput, match="self_test"):
            submitted(team, actor=ben, kind="nonsense")

    def test_returns_the_same_job_for_the_same_key(self, ben, team):
        first = submitted(team, actor=ben, idempotency_key="k")

        assert submitted(team, actor=ben, idempotency_key="k").pk == first.pk
        assert Job.objects.count() == 1

    @pytest.mark.parametrize(
        "other", [{"params": {"steps": 7}}, {"kind": "ping", "params": {"text": "a"}}]
    )
    def test_the_same_key_for_another_job_is_a_conflict(self, ben, team, other):
        first = submitted(team, actor=ben, idempotency_key="k")

        with pytest.raises(Conflict, match="Use a new key") as caught:
            submitted(team, actor=ben, idempotency_key="k", **other)

        assert caught.value.extra == {"field": "Idempotency-Key", "job": first.pk}
        assert Job.objects.count() == 1

    @pytest.mark.parametrize("key", ["x" * 201, "a\nb"])
    def test_a_key_that_cannot_be_kept_is_named(self, ben, team, key):
        with pytest.raises(InvalidInput) as caught:
            submitted(team, actor=ben, idempotency_key=key)

        assert list(caught.value.errors) == ["Idempotency-Key"]

    def test_is_refused_to_a_viewer_and_hidden_from_an_outsider(self, eve, cai, team):
        with pytest.raises(PermissionDenied):
            submitted(team, actor=eve)
        with pytest.raises(NotFound):
            submitted(team, actor=cai)

    def test_goes_on_when_the_broker_is_down(self, ben, team, django_capture_on_commit_callbacks):
        from kombu.exceptions import OperationalError

        def dead(*args, **kwargs):
            raise OperationalError("no broker")

        from models_app.jobs import signals

        ready_node()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signals.current_app, "send_task", dead)
            with django_capture_on_commit_callbacks(execute=True):
                job = submitted(team, actor=ben)

        job.refresh_from_db()
        assert (job.state, job.node_name) == (JobState.SCHEDULED, "node-1")

    @pytest.mark.parametrize("title", ["a\x00b", "x" * 1000, "\u202e" * 3, "  "])
    def test_refuses_titles_that_cannot_be_shown(self, ben, team, title):
        if not title.strip():
            assert submitted(team, actor=ben, title="").title == "Self-test of a node"
            return
        with pytest.raises(InvalidInput):
            submitted(team, actor=ben, title=title)


class TestJobCancel:
    def test_ends_a_queued_job_at_once(self, ben, team):
        job = job_cancel(actor=ben, job=submitted(team, actor=ben))

        assert (job.state, job.reason_code) == (JobState.CANCELED, "canceled_by")

    def test_asks_a_running_job_to_stop(self, ben, team):
        job = job_cancel(actor=ben, job=claimed(team, actor=ben))

        assert job.state == JobState.CANCELING
        assert job.lease_until is not None

    def test_refuses_a_job_that_is_over(self, ben, team):
        job = job_cancel(actor=ben, job=submitted(team, actor=ben))

        with pytest.raises(WrongState, match="already ended"):
            job_cancel(actor=ben, job=job)


class TestJobRerun:
    def test_makes_a_new_job_and_leaves_history_alone(self, ben, team):
        job = job_cancel(actor=ben, job=submitted(team, actor=ben))

        again = job_rerun(actor=ben, job=job, changes={"steps": 9})

        assert again.pk != job.pk
        assert (again.rerun_of_id, again.params["steps"]) == (job.pk, 9)


class TestJobSetPriority:
    def test_changes_what_runs_first(self, ben, team):
        job = job_set_priority(actor=ben, job=submitted(team, actor=ben), priority=5)

        job.refresh_from_db()
        assert job.priority == 5

    def test_refuses_numbers_out_of_range(self, ben, team):
        with pytest.raises(InvalidInput, match="-100"):
            job_set_priority(actor=ben, job=submitted(team, actor=ben), priority=101)


def test_submit_sends_the_go_signal_after_the_commit(
    ben, team, django_capture_on_commit_callbacks, monkeypatch
):
    from models_app.jobs import signals

    ready_node()
    sent = []
    monkeypatch.setattr(
        signals.current_app, "send_task", lambda name, **options: sent.append((name, options))
    )
    with django_capture_on_commit_callbacks(execute=True):
        job_submit(actor=ben, team=team, kind="self_test", params={})
        assert sent == []

    assert sent == [("workers.offer", {"kwargs": {"count": 1}, "queue": "node.node-1"})]
