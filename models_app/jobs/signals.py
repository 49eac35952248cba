"""The two signals of jobs: pages hear that one changed, a node hears that one waits for it."""

import logging
from functools import partial

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerDown
from redis import RedisError

from models_app.events.publish import publish_on_commit
from models_app.jobs.bell import Bell
from models_app.jobs.models import Job, JobPart

logger = logging.getLogger(__name__)


def node_queue(name: str) -> str:
    """The Celery queue that only this node consumes."""
    return f"node.{name}"


def job_announce(job: Job) -> None:
    """Tell the pages of this job and the lists of its team, after commit."""
    data = {"id": job.pk, "state": str(job.state), "kind": job.kind}
    publish_on_commit("job.changed", data, f"job.{job.pk}", f"team.{job.team_id}")


def send_go_on_commit(node_name: str, count: int) -> None:
    """The go signal, a wake-up only: if it is lost, sweeper and node find the rows."""
    transaction.on_commit(lambda: _bell.push(node_name, count), robust=True)


def send_go(node_name: str, count: int) -> None:
    """Tell a node that about `count` jobs wait for a slot of it, and maybe inline ones besides.

    A broker that is down is no error.
    """
    try:
        current_app.send_task("workers.offer", kwargs={"count": count}, queue=node_queue(node_name))
    except (BrokerDown, RedisError, OSError) as error:
        logger.warning("go signal for node %s not sent: %s", node_name, error)


_bell = Bell(lambda node_name, count: send_go(node_name, count))


def send_look_on_commit(job: Job) -> None:
    """The job's attempt is to look at its row now instead of at its next heartbeat."""
    names = {job.node_name}
    if job.nodes > 1:
        parts = JobPart.objects.filter(job=job, epoch=job.epoch)
        names |= set(parts.values_list("node_name", flat=True))
    for name in sorted(names):
        transaction.on_commit(partial(send_look, job.pk, name), robust=True)


def send_look(job_id: int, node_name: str) -> None:
    """Send it now; without it the attempt looks within a heartbeat."""
    try:
        current_app.send_task(
            "workers.look",
            kwargs={"job_id": job_id},
            queue=node_queue(node_name),
            expires=10,
        )
    except (BrokerDown, RedisError, OSError) as error:
        logger.warning("job %s was not told to look: %s", job_id, error)
