"""Jobs that an attempt holds, made as rows: tests of the log need no queue."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.states import HELD, JobState
from models_app.pools.models import Pool

NODE = "node-1"
AT = "2026-01-01T00:00:00.000Z"


def held_job(team: Any, **fields: Any) -> Job:
    """A running job in its first attempt, as the worker that holds it knows it."""
    pool = Pool.objects.first() or Pool.objects.create(name="default")
    job = Job.objects.create(
        team=team, kind="self_test", title="Log", params_digest="0", pool=pool, run_after=Now(),
        state=JobState.RUNNING, epoch=1, node_name=NODE, worker=f"{NODE}:1:1",
        lease_until=Now() + timedelta(hours=1), **fields,
    )  # fmt: skip
    job.refresh_from_db()
    attempt(job)
    return job


def attempt(job: Job, node: str = NODE) -> JobAttempt:
    return JobAttempt.objects.create(job=job, epoch=job.epoch, node_name=node, worker=f"{node}:1:1")


def next_attempt(job: Job, node: str = NODE) -> Job:
    """The job is lost and claimed again; the row as its new worker knows it."""
    JobAttempt.objects.filter(job=job, ended_at=None).update(ended_at=Now())
    Job.objects.filter(pk=job.pk).update(epoch=job.epoch + 1, node_name=node)
    again = Job.objects.get(pk=job.pk)
    attempt(again, node)
    return again


def end(job: Job, state: str = JobState.SUCCEEDED) -> None:
    JobAttempt.objects.filter(job=job, ended_at=None).update(ended_at=Now())
    Job.objects.filter(pk=job.pk, state__in=sorted(HELD)).update(
        state=state, lease_until=None, finished_at=Now()
    )


def lines(*texts: str, level: str = "info") -> list[tuple[str, str, str, str]]:
    return [(AT, "job", level, text) for text in texts]
