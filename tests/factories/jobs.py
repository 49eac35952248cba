"""Jobs in any stage of their life, moved there as a worker would."""

from models_app.core.actor import SYSTEM
from models_app.jobs import attempts
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit

NODE = "node-1"
WORKER = "node-1:100:1"


def submitted(team, *, actor=SYSTEM, kind="self_test", **options) -> Job:
    """A queued job."""
    params = options.pop("params", {"steps": 3})
    return job_submit(actor=actor, team=team, kind=kind, params=params, **options)


def claimed(team, *, worker=WORKER, **options) -> Job:
    """A job held by a worker; the row as that worker knows it."""
    job = submitted(team, **options)
    held = attempts.job_claim(worker=worker, node=NODE, queues=["cpu"], job_id=job.pk)
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
