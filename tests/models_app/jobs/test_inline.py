"""Several inline jobs end in one transaction, each as it would alone."""

import pytest

from models_app.audit.models import AuditEvent
from models_app.core.actor import SYSTEM
from models_app.jobs.attempts import job_finish
from models_app.jobs.claims import jobs_claim
from models_app.jobs.inline import jobs_finish_inline
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel
from tests.factories.jobs import NODE, WORKER, claimed, expire, placed, submitted

pytestmark = pytest.mark.django_db


def pings(team, count=3):
    return [claimed(team, kind="ping", params={"text": str(n)}) for n in range(count)]


def finish(jobs):
    return jobs_finish_inline([(job, {"text": f"for {job.pk}"}) for job in jobs])


def facts(job):
    """What is stored of an ended job, but for its number and its times."""
    job.refresh_from_db()
    attempt = job.attempts.get()
    audit = AuditEvent.objects.filter(object_id=str(job.pk)).latest("pk")
    return (
        job.state, job.percent, job.stage, job.eta_s, job.lease_until, job.finished_at is None,
        attempt.epoch, attempt.ended_at is None, audit.action, audit.actor_label, audit.team_id,
        audit.via, audit.changes,
    )  # fmt: skip


def test_each_ends_as_it_would_alone(team):
    alone, *together = pings(team)
    job_finish(job=alone, result={"text": "x"}, attempt={})

    assert finish(together) == {job.pk for job in together}
    assert [facts(job) for job in together] == [facts(alone)] * 2
    assert [job.result for job in together] == [{"text": f"for {job.pk}"} for job in together]


def test_leaves_those_that_it_does_not_hold(team):
    fine, late, cancelled, taken = pings(team, 4)
    expire(late)
    job_cancel(actor=SYSTEM, job=cancelled)
    Job.objects.filter(pk=taken.pk).update(epoch=2)

    assert finish([fine, late, cancelled, taken]) == {fine.pk}
    states = [Job.objects.get(pk=job.pk).state for job in (late, cancelled, taken)]
    assert states == ["running", "canceling", "running"]


def test_all_or_none(team, monkeypatch):
    def apply(self, params, job, result):
        if params.text == "1":
            raise RuntimeError("boom")
        return result

    monkeypatch.setattr(type(job_kinds.get("ping")), "apply", apply)
    jobs = pings(team)
    with pytest.raises(RuntimeError):
        finish(jobs)

    assert {Job.objects.get(pk=job.pk).state for job in jobs} == {"running"}
    assert not AuditEvent.objects.filter(action="job.succeeded").exists()


class TestClaim:
    def test_takes_several_of_one_sort_by_priority(self, team):
        first, second, third = (placed(submitted(team, kind="ping", params={})) for _ in range(3))
        other = placed(submitted(team, priority=5))
        Job.objects.filter(pk=third.pk).update(priority=9)

        def take(**options):
            return [job.pk for job in jobs_claim(worker=WORKER, node=NODE, **options)]

        assert take(inline=True, limit=2) == [third.pk, first.pk]
        assert take(inline=False, limit=2) == [other.pk]
        assert take(inline=True, limit=2) == [second.pk]
        assert take(inline=True) == take(inline=False) == []
        assert {job.attempts.get().epoch for job in (first, second, third, other)} == {1}
