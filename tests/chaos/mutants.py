"""A worker from which one safeguard was taken: `python -m tests.chaos.mutants NAME worker …`.

It shows that the harness would notice. The product itself has no switch for this.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings.worker")


def without_watchdog() -> None:
    """The child of a worker that is stopped goes on for ever."""
    from workers.attempt import Attempt

    whole = Attempt._job_file

    def job_file(self: Attempt, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**whole(self, inputs), "watchdog_s": 100_000}

    Attempt._job_file = job_file  # type: ignore[method-assign]


def without_fence() -> None:
    """No write asks any more whether the epoch still holds the job; the child goes on, too."""
    from models_app.jobs import attempts, logs, metrics
    from models_app.jobs.models import Job
    from workers import lease, shipping

    without_watchdog()

    def renew(*, job: Job) -> str:
        return "running"

    def locked(job: Job) -> Job:
        return Job.objects.select_for_update().get(pk=job.pk)

    attempts.job_renew = lease.job_renew = renew
    attempts.lock_held = locked
    attempts.held = lambda job: Job.objects.filter(pk=job.pk)
    for module in (metrics,):
        if hasattr(module, "lock_held"):
            module.lock_held = locked
    shipping.log_append = lambda **given: logs.log_position(job=given["job"])
    shipping.metrics_append = lambda **given: None


MUTANTS: dict[str, Callable[[], None]] = {
    "without_watchdog": without_watchdog,
    "without_fence": without_fence,
}


def main(name: str, words: list[str]) -> None:
    from workers.celery import app

    app.loader.import_default_modules()
    MUTANTS[name]()
    app.start(words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
