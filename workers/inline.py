"""An attempt at a job of an inline kind: runs in the worker itself, without a child process.

For short work of Slipway's own (see `JobKind.inline`). Its log and its end are stored in one
transaction; if the worker dies, the lease runs out and the job is done again.
"""

import contextlib
import logging
import tempfile
import threading
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.db import DatabaseError, OperationalError, connections, transaction

from models_app.core.clock import stamp
from models_app.core.errors import SlipwayError, StaleEpoch
from models_app.jobs.attempts import job_fail, job_finish
from models_app.jobs.claims import jobs_claim
from models_app.jobs.inline import jobs_finish_inline
from models_app.jobs.inputs import job_load
from models_app.jobs.kind import JobFailed, kind_of
from models_app.jobs.logs import log_append
from models_app.jobs.metrics import metrics_append
from models_app.jobs.models import Job
from models_app.jobs.states import ReasonCode

logger = logging.getLogger(__name__)
#: So many inline jobs are claimed, and ended, together.
BATCH = 32
#: An inline job has no files of its own to load.
NOWHERE = Path("/nonexistent")


class InlineContext:
    """The JobContext of an inline job: keeps what is said until the end."""

    def __init__(self, job: Job) -> None:
        self.epoch = job.epoch
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.lines: list[tuple[str, str, str, str]] = []
        self.points: list[tuple[str, int, float, str]] = []

    @property
    def work_dir(self) -> Path:
        """Made when it is first asked for; gone with the job."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="slipway-inline-")
        return Path(self._folder.name)

    output_dir = checkpoint_dir = work_dir

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def log(self, text: str, level: str = "info") -> None:
        self.lines.append((stamp(), "job", level, text))

    def metric(self, step: int, values: dict[str, float]) -> None:
        self.points += [(name, step, float(value), stamp()) for name, value in values.items()]

    def progress(self, **_: Any) -> None:
        """It is over before anybody could look."""

    def checkpoint(self, **_: Any) -> None:
        raise NotImplementedError("an inline job is done again from its beginning")

    def sample(self, **_: Any) -> None:
        raise NotImplementedError("an inline job trains nothing")

    def report(self, data: dict[str, Any]) -> None:
        raise NotImplementedError("an inline job serves nothing")

    def ready(self, data: dict[str, Any]) -> None:
        raise NotImplementedError("an inline job serves nothing")

    def environment(self, data: dict[str, Any]) -> None:
        """It is the worker's own."""

    def should_hurry(self) -> bool:
        return self.should_stop()

    def should_stop(self) -> bool:
        return False


class InlineAttempt:
    """One attempt at an inline job, in the thread that calls `run`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.kind, self.params = kind_of(job)

    def run(self) -> None:
        """From the beginning to the end."""
        result = self.work()
        if result is not None:
            self.finish(result)

    def work(self) -> dict[str, Any] | None:
        """The result if that is all there is to store; None: stored already, or given up."""
        ctx = InlineContext(self.job)
        with self._fenced(), contextlib.closing(ctx):
            return self._work(ctx)
        return None

    def finish(self, result: dict[str, Any]) -> None:
        """Store the result."""
        with self._fenced():
            job_finish(job=self.job, result=result, attempt={})

    def _work(self, ctx: InlineContext) -> dict[str, Any] | None:
        try:
            inputs = job_load(kind=self.kind, params=self.params, job=self.job, folder=NOWHERE)
            result = self.kind.run(self.params, inputs, ctx)  # type: ignore[arg-type]
        except (StaleEpoch, DatabaseError):
            raise
        except Exception as error:
            self._fail(ctx, error)
            return None
        if not (ctx.lines or ctx.points):
            return result
        with transaction.atomic():
            self._say(ctx)
            job_finish(job=self.job, result=result, attempt={})
        return None

    @contextlib.contextmanager
    def _fenced(self) -> Iterator[None]:
        try:
            yield
        except StaleEpoch:
            logger.warning("attempt %s of job %s was fenced off", self.job.epoch, self.job.pk)
        except DatabaseError as error:
            logger.error("job %s given up: %s", self.job.pk, error)

    def _say(self, ctx: InlineContext) -> None:
        if ctx.lines:
            log_append(job=self.job, lines=ctx.lines, spool_offset=0, durable=True)
        if ctx.points:
            metrics_append(job=self.job, points=ctx.points)

    def _fail(self, ctx: InlineContext, error: Exception) -> None:
        if isinstance(error, JobFailed | SlipwayError):
            message = text = error.message
        else:
            message, text = f"{type(error).__name__}: {error}", traceback.format_exc()
        reason = error.reason if isinstance(error, JobFailed) else ReasonCode.USER_CODE
        ctx.log(text, level="error")
        with transaction.atomic():
            self._say(ctx)
            job_fail(job=self.job, code=reason, message=message, permanent=True, attempt={})


class InlineLane(threading.Thread):
    """Runs the inline jobs that are placed on a node, beside its slots, several at a time."""

    def __init__(self, node: str, worker: str, stopping: threading.Event) -> None:
        super().__init__(name="inline", daemon=True)
        self._names = {"node": node, "worker": worker}
        self._stopping = stopping
        self._wanted = threading.Event()

    def wake(self) -> None:
        """There may be some."""
        self._wanted.set()

    def finish(self, timeout_s: float) -> None:
        """The node is stopping: what has begun may end."""
        self._wanted.set()
        if self.is_alive():
            self.join(timeout_s)

    def run(self) -> None:
        while not self._stopping.is_set():
            if self._wanted.wait(1.0):
                self._wanted.clear()
                self._empty()

    def _empty(self) -> None:
        try:
            while not self._stopping.is_set():
                jobs = jobs_claim(**self._names, inline=True, limit=BATCH)
                if not jobs:
                    return
                run_together(jobs)
        except DatabaseError as error:
            logger.warning("inline jobs wait: %s", error)
        except Exception:
            logger.exception("inline jobs")
        finally:
            connections.close_all()


def run_together(jobs: Iterable[Job]) -> None:
    """Run each; those that only have a result to store end in one transaction."""
    results = []
    for job in jobs:
        attempt = InlineAttempt(job)
        result = attempt.work()
        if result is not None:
            results.append((attempt, result))
    try:
        ended = jobs_finish_inline([(attempt.job, result) for attempt, result in results])
    except OperationalError as error:
        logger.error("%s inline jobs given up: %s", len(results), error)
        return
    except Exception:
        # One of them spoils it for all: each by itself, so that only that one fails.
        logger.warning("inline jobs are ended one by one", exc_info=True)
        ended = set()
    for attempt, result in results:
        if attempt.job.pk not in ended:
            attempt.finish(result)
