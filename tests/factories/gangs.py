"""Jobs on several nodes, moved through their life as workers would."""

from models_app.jobs.claims import job_claim
from models_app.jobs.gangs import part_claim
from models_app.jobs.models import Job, JobPart
from models_app.jobs.placement import place_jobs
from models_app.pools.models import Pool
from models_app.pools.services.pools import pool_default
from tests.factories.jobs import submitted


def gang(team, nodes=2, **options) -> Job:
    """A queued self-test on so many nodes; see the fixture `several`."""
    pool_default()
    Pool.objects.update(private_network=True)
    return submitted(team, params={"steps": nodes}, **options)


def claimed_gang(job: Job) -> tuple[Job, list[JobPart]]:
    """Placed, and every part taken up by the worker of its node; the rows as workers know them."""
    place_jobs()
    job.refresh_from_db()
    held = job_claim(worker=f"{job.node_name}:100:1", node=job.node_name, job_id=job.pk)
    assert held is not None
    names = job.parts.filter(epoch=held.epoch, number__gt=0).order_by("number")
    parts = [
        part_claim(worker=f"{name}:100:1", node=name)
        for name in names.values_list("node_name", flat=True)
    ]
    assert all(parts)
    return held, parts
