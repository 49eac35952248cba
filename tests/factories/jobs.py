"""Jobs in any stage of their life, moved there as a worker would."""

from models_app.core.actor import SYSTEM
from models_app.jobs import claims
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.jobs.states import JobState

NODE = "node-1"
WORKER = "node-1:100:1"


def submitted(team, *, actor=SYSTEM, kind="self_test", **options) -> Job:
    """A queued job."""
    params = options.pop("params", {"steps": 3})
    return job_submit(actor=actor, team=team, kind=kind, params=params, **options)


def placed(job: Job, node=NODE) -> Job:
    """A queued job gets a place on a node, whether or not there is such a node."""
    from django.db.models.functions import Now

    Job.objects.filter(pk=job.pk, state__in=(JobState.PENDING, JobState.SCHEDULED)).update(
        state=JobState.SCHEDULED, node_name=node, scheduled_at=Now(), sent_at=Now()
    )
    job.refresh_from_db()
    return job


def claimed(team, *, worker=WORKER, node=NODE, **options) -> Job:
    """A job held by a worker; the row as that worker knows it."""
    job = placed(submitted(team, **options), node)
    held = claims.job_claim(worker=worker, node=node, job_id=job.pk)
    assert held is not None
    return held


def expire(job: Job) -> None:
    """Let the lease run out, by the database's clock."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET lease_until = clock_timestamp() - interval '1 s' WHERE id = %s",
            [job.pk],
        )
