"""The Celery tasks. Each is one call; delivered twice or late they change nothing but latency."""

from celery import shared_task

from models_app.sweeps.services import sweep_advance
from workers.golden import prove
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
    current_node().tick("sweep")


@shared_task(name="workers.reconcile")
def reconcile(**_: object) -> None:
    """Bring every deployment nearer to what it should be."""
    current_node().tick("reconcile")


@shared_task(name="workers.golden")
def golden(at_once: bool = False, **_: object) -> None:
    """Ask for the golden answers that are missing, or at once for those that a way back awaits."""
    if at_once:
        prove()
    else:
        current_node().tick("golden")


@shared_task(name="workers.alerts")
def alerts(**_: object) -> None:
    """Compare the rules of alerts with what is measured."""
    current_node().tick("alerts")


@shared_task(name="workers.tidy")
def tidy(**_: object) -> None:
    """Free the files that nothing names."""
    current_node().tick("tidy")


@shared_task(name="workers.store")
def store(**_: object) -> None:
    """Go on with what was asked of the store of files."""
    current_node().tick("store")


@shared_task(name="workers.finetuning")
def finetuning(**_: object) -> None:
    """Begin the fine-tunings whose data is ready."""
    current_node().tick("finetuning")


@shared_task(name="workers.search")
def search(sweep_id: int | None = None, **_: object) -> None:
    """Bring every sweep a step further, or at once the one that has just changed."""
    if sweep_id is None:
        current_node().tick("search")
    else:
        sweep_advance(sweep_id)


@shared_task(name="workers.batches")
def batches(**_: object) -> None:
    """Keep the answers of batches that were stopped."""
    current_node().tick("batches")


@shared_task(name="workers.requests")
def requests(**_: object) -> None:
    """Let records of calls go that are old, or too many."""
    current_node().tick("requests")


@shared_task(name="workers.drill")
def drill(**_: object) -> None:
    """Begin the reproduction drills whose time has come."""
    current_node().tick("drill")
