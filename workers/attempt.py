"""One attempt at a job: load, spawn the child, ship what it says, decide how it ended.

See docs/architecture.md#life-of-a-job.
"""

import errno
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections

from models_app.core import clock
from models_app.core.errors import SlipwayError, StaleEpoch
from models_app.jobs.attempts import (
    attempt_isolated,
    attempt_started,
    job_fail,
    job_finish,
    job_release,
    job_renew,
    job_stopped,
)
from models_app.jobs.checkpoints import checkpoint_folder
from models_app.jobs.failures import OUTSIDE
from models_app.jobs.inputs import job_load
from models_app.jobs.kind import JobFailed, kind_of
from models_app.jobs.log_compaction import log_compact
from models_app.jobs.models import Job
from models_app.jobs.states import TERMINAL, JobState, ReasonCode
from workers.checkpoints import CheckpointSender, restore
from workers.isolation.cage import Cage
from workers.late import clear_job
from workers.lease import Lease
from workers.patience import with_store
from workers.process import ChildProcess
from workers.refreshing import Refresher
from workers.shipping import Shipper
from workers.spool import attempt_folder, work_folder

logger = logging.getLogger(__name__)

#: Longest wait for the newest checkpoint to be sent to the console.
SETTLE_S = 120
#: Reasons of a child that may hide a limit it ran into: "cannot start a thread", "file too large",
#: a process of its own that was killed.
UNEXPLAINED = {
    None, ReasonCode.USER_CODE, ReasonCode.OOM, ReasonCode.DISK_FULL, ReasonCode.KILLED,
}  # fmt: skip
SHIP_EVERY_S = 0.1
#: Batches in a row while the spool is ahead, before the lease is looked at again.
CATCH_UP = 20


class Attempt:
    """Supervises one child process from claim to end, in the thread that calls `run`."""

    def __init__(
        self, job: Job, *, stopping: threading.Event, devices: Sequence[int] = (), part: int = 0
    ) -> None:
        self.job = job
        self.devices = list(devices)
        self.kind, self.params = kind_of(job)
        self.node_stopping = stopping
        self.folder = attempt_folder(job.pk, job.epoch, part)
        self.work = work_folder(job.pk, part)
        self.cage = Cage(job, self.folder, measured=(self.work, checkpoint_folder(job.pk)))
        self.process = ChildProcess(self.folder, self.cage)
        self.sender = CheckpointSender(job)
        self.shipper = Shipper(job, self.folder, self.sender.offer, part)
        self.lease = Lease(job, beat=self.process.beat, renew=self._renew)
        self.refresher = Refresher(f"{job.kind}-{job.pk}", self._refresh)
        self.why_stopped = ""
        self._stop_at: float | None = None
        self._grace_s: float | None = None
        self._hurried = False

    def run(self) -> None:
        """Supervise to the end. Whatever happens, no process of this attempt is left."""
        self.lease.start()
        try:
            self._run()
        except StaleEpoch:
            logger.warning("attempt %s of job %s was fenced off", self.job.epoch, self.job.pk)
        except DatabaseError as error:
            # Nothing can be written any more: the lease runs out and the job goes on elsewhere.
            logger.error("attempt %s of job %s given up: %s", self.job.epoch, self.job.pk, error)
        finally:
            self.lease.close()
            self.refresher.close()
            self.sender.close()
            self.process.kill()
            self.cage.close()
            connections.close_all()
            self._clean_up()

    def _run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.shipper.leftovers()
        self.shipper.say(self._greeting())
        try:
            inputs = self._with_store(self._load)
        except (JobFailed, SlipwayError) as error:
            if isinstance(error, StaleEpoch):
                raise
            self._refuse(error)
            return
        try:
            self._start(inputs)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = ReasonCode.DISK_FULL if full else ReasonCode.KILLED
            self._fail(reason, f"Its process could not be started: {error}", permanent=False)
            return
        self._started()
        self._watch()
        self._conclude()

    def _renew(self) -> str:
        return job_renew(job=self.job)

    def _greeting(self) -> str:
        return f"Attempt {self.job.epoch} starts on {self.job.node_name}."

    def _start(self, inputs: dict[str, Any]) -> None:
        self.process.start(self._job_file(inputs))

    def _started(self) -> None:
        attempt_started(job=self.job, pid=self.process.pid)
        attempt_isolated(job=self.job, isolation=self.cage.describe())
        if self.kind.refreshes:
            self.refresher.start()

    def look(self) -> None:
        """Somebody wants something of this job: look now instead of at the next heartbeat."""
        self.lease.look()
        self.refresher.look()

    def _refresh(self) -> None:
        if not self._is_leaving():
            self.kind.refresh(self.params, self.job, self.folder / "inputs")

    def _load(self) -> dict[str, Any]:
        folder = self.folder / "inputs"
        self._grace_s = self.kind.grace_s(self.params)
        inputs = job_load(kind=self.kind, params=self.params, job=self.job, folder=folder)
        restore(self.job, self.shipper.say)
        return inputs

    def _refuse(self, error: JobFailed | SlipwayError) -> None:
        """What the job needs cannot be had: for good, or only here and now."""
        self.shipper.say(error.message, level="error")
        self.shipper.drain()
        if not isinstance(error, JobFailed):
            self._fail(ReasonCode.INTEGRITY, error.message, permanent=True)
        elif self._is_leaving() and not error.permanent:
            facts = self._facts()
            self._patiently(lambda: job_release(job=self.job, message=error.message, attempt=facts))
        else:
            self._fail(error.reason, error.message, permanent=error.permanent)

    def _with_store(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return with_store(
            action, lost=self.lease.lost, leaving=self._is_leaving, say=self.shipper.say
        )

    def _is_leaving(self) -> bool:
        return self.node_stopping.is_set() or self.lease.state != JobState.RUNNING

    def _job_file(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": self.job.kind,
            "params": self.job.params,
            "inputs": inputs,
            "epoch": self.job.epoch,
            "work_dir": str(self.work),
            "checkpoint_dir": str(checkpoint_folder(self.job.pk)),
            "output_dir": str(self.folder / "output"),
            "watchdog_s": settings.JOB_LEASE_S * 0.8,
            "devices": self.devices,
            "clock": clock.reading(),
        }

    def _watch(self) -> None:
        started = time.monotonic()
        while self.process.running(timeout_s=SHIP_EVERY_S):
            if self.lease.lost.is_set():
                raise StaleEpoch
            self._ship()
            if self.lease.state != JobState.RUNNING:
                self._ask_to_stop("request")
            elif self.node_stopping.is_set():
                self._ask_to_stop("node")
            if self.node_stopping.is_set():
                self._hurry()
            elif self.job.timeout_s and time.monotonic() - started > self.job.timeout_s:
                self._ask_to_stop("timeout")
            if self.cage.breach() or (self._stop_at and time.monotonic() > self._stop_at):
                self.process.kill()
        self.process.kill()

    def _ship(self) -> None:
        """Store what is there. While the database is away it simply waits in the spool."""
        try:
            for _ in range(CATCH_UP):
                if not self.shipper.ship():
                    break
        except DatabaseError as error:
            logger.warning("log of job %s waits in its spool: %s", self.job.pk, error)
            connections.close_all()

    def _ask_to_stop(self, why: str) -> None:
        if self._stop_at is None:
            self.why_stopped = why
            own = self._grace_s if why == "request" else None
            self._stop_at = time.monotonic() + (own or settings.JOB_GRACE_S)
            self.process.signal(signal.SIGTERM)

    def _hurry(self) -> None:
        """The node stops: the time that a kind has of its own is over in the general one."""
        if not self._hurried and self.kind.long_lived:
            self._hurried = True
            limit = time.monotonic() + settings.JOB_GRACE_S
            self._stop_at = min(self._stop_at or limit, limit)
            self.process.signal(signal.SIGUSR1)

    def _conclude(self) -> None:
        """The child is gone: store the rest of what it said, then end the attempt."""
        self._patiently(lambda: self.shipper.drain())
        outcome = self.shipper.outcome or {"kind": "died"}
        if outcome["kind"] != "result" and self.lease.state != JobState.CANCELING:
            # Where it goes on, this disk may not be seen.
            self.sender.settle(SETTLE_S)
        if self.why_stopped == "timeout":
            text = f"It took longer than its limit of {self.job.timeout_s} s."
            self._fail(ReasonCode.TIMEOUT, text, permanent=True)
        elif self.lease.state == JobState.CANCELING:
            self._patiently(lambda: job_stopped(job=self.job, attempt=self._facts()))
        elif self._breached(outcome):
            return
        elif outcome["kind"] == "result" and not (self.kind.long_lived and self.why_stopped):
            self._finish(outcome["value"])
        elif self.why_stopped in ("node", "request") and outcome["kind"] in (
            "stopped",
            "result",
            "died",
        ):
            text = "The worker was shut down; the job goes on from its last checkpoint."
            self._patiently(lambda: job_release(job=self.job, message=text, attempt=self._facts()))
        elif outcome["kind"] == "failed":
            self._fail(outcome["reason"], outcome["message"], permanent=outcome["permanent"])
        else:
            outside = self.process.exit_signal in OUTSIDE
            self._fail(ReasonCode.KILLED, self._death(), permanent=False, from_outside=outside)

    def _breached(self, outcome: dict[str, Any]) -> bool:
        """End the attempt for a limit it passed; a result, or a reason of its own, comes first."""
        if outcome["kind"] == "result" or outcome.get("reason") not in UNEXPLAINED:
            return False
        breach = self.cage.breach(final=True)
        if breach is None:
            return False
        steps: list[int | None] = []
        row = Job.objects.filter(pk=self.job.pk)
        self._patiently(lambda: steps.extend(row.values_list("step", flat=True)))
        message = breach.message(steps[-1] if steps else None)
        self._patiently(lambda: self.shipper.say(message, level="error"))
        self._fail(breach.code, message, permanent=breach.permanent)
        return True

    def _finish(self, value: dict[str, Any]) -> None:
        if self.kind.long_lived:
            self._fail(ReasonCode.KILLED, "It ended by itself.", permanent=False)
            return
        try:
            stored = self._with_store(
                lambda: self.kind.store(self.params, self.job, value, self.folder / "output")
            )
            self._patiently(lambda: job_finish(job=self.job, result=stored, attempt=self._facts()))
        except SlipwayError as error:
            if isinstance(error, StaleEpoch):
                raise
            self._fail(ReasonCode.INTEGRITY, error.message, permanent=True)
        except JobFailed as error:
            self._refuse(error)

    def _fail(
        self, reason: str, message: str, *, permanent: bool, from_outside: bool = False
    ) -> None:
        self._patiently(
            lambda: job_fail(
                job=self.job,
                code=reason,
                message=message,
                permanent=permanent,
                attempt=self._facts(),
                from_outside=from_outside,
            )
        )

    def _patiently(self, action: Any) -> None:
        """Do it, again and again while the database is away and the lease may still be ours."""
        while True:
            try:
                action()
                return
            except DatabaseError:
                if self.lease.lost.wait(1.0):
                    raise
                connections.close_all()

    def _facts(self) -> dict[str, Any]:
        return {
            "exit_code": self.process.exit_code,
            "exit_signal": self.process.exit_signal,
            "tail": self.shipper.tail(),
            "isolation": self.cage.describe(),
        }

    def _death(self) -> str:
        if self.process.exit_signal == "SIGKILL":
            return "The job's process was killed (SIGKILL) by something other than Slipway."
        if self.process.exit_signal:
            return f"The job's process died of {self.process.exit_signal}."
        return f"The job's process ended with status {self.process.exit_code} without a result."

    def _clean_up(self) -> None:
        """Tidy up after an ended job: few large log chunks, no folder. A clock does what fails."""
        try:
            if Job.objects.filter(pk=self.job.pk, state__in=sorted(TERMINAL)).exists():
                log_compact(job_id=self.job.pk, ended=True)
                clear_job(self.job.pk)
        except DatabaseError as error:
            logger.warning("job %s was not tidied up: %s", self.job.pk, error)
        finally:
            connections.close_all()
