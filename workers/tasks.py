"""The Celery tasks. Each is one call; delivered twice or late they change nothing but latency."""

from celery import shared_task

from models_app.deployments.reconcile import reconcile_all
from models_app.jobs.recovery import sweep as sweep_jobs
from workers.node import current_node


@shared_task(name="workers.offer")
def offer(count: int = 1, **_: object) -> None:
    """The go signal: about `count` jobs wait here. Supervise them as far as slots are free."""
    current_node().offer(count)


@shared_task(name="workers.look")
def look(job_id: int, **_: object) -> None:
    """Somebody wants something of a running job: its attempt looks at the row at once."""
    current_node().look(job_id)


@shared_task(name="workers.sweep")
def sweep(**_: object) -> None:
    """Recover jobs whose worker fell silent; send lost signals again."""
    current_node().ticked("sweep")
    sweep_jobs()


@shared_task(name="workers.reconcile")
def reconcile(**_: object) -> None:
    """Bring every deployment nearer to what it should be."""
    current_node().ticked("reconcile")
    reconcile_all()
