"""This worker service as a node: its name, its slots, its sign of life, and its polite end."""

import datetime as dt
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from celery import signals
from django.conf import settings
from django.db import OperationalError, close_old_connections, connections

from models_app.alerts.evaluation import alerts_evaluate
from models_app.batches.services import batches_collect
from models_app.core.blobs import blobs_here
from models_app.core.clock import now
from models_app.deployments.reconcile import reconcile_all
from models_app.finetuning.services import tunings_advance
from models_app.jobs.checkpoints import files_collect
from models_app.jobs.claims import jobs_claim
from models_app.jobs.gangs import part_claim, parts_waiting
from models_app.jobs.models import Job, JobPart
from models_app.jobs.placement import place_jobs
from models_app.jobs.recovery import recover_node, sweep
from models_app.jobs.signals import node_queue
from models_app.jobs.states import JobState
from models_app.jobs.ticks import tick_claim
from models_app.pools import caches
from models_app.pools.joining import NodeRefused, node_may_register
from models_app.pools.services.registration import node_gone, node_heartbeat, node_register
from models_app.registry.services.drilling import drills_due
from models_app.routing.retention import requests_expire
from models_app.storage.runs import runs_advance
from models_app.sweeps.services import sweeps_advance
from workers.attempt import Attempt
from workers.capacity import capacity, health
from workers.devices import Devices
from workers.gang import attempt_of
from workers.golden import prove
from workers.inline import InlineLane
from workers.late import Tidier
from workers.orphans import end_orphans
from workers.process import child_environment
from workers.speed import SpeedMeter, speed_known
from workers.warm.keeper import keeper

logger = logging.getLogger(__name__)

POLL_S = 3.0
#: A job that waits longer for its next attempt is left to the sweeper.
SOON = dt.timedelta(seconds=10)
#: So that it is really due when its place is looked for.
A_MOMENT = dt.timedelta(milliseconds=20)
#: The node does the clock's work itself when beat or the broker has been silent for so long.
TICK_GAP_S = 10.0
#: What happens by the clock: seconds between, and what is done. Beat sends the ticks.
TICKS: dict[str, tuple[float, Callable[[], object]]] = {
    "sweep": (5.0, sweep),
    "reconcile": (2.0, reconcile_all),
    "golden": (2.0, prove),
    "alerts": (15.0, alerts_evaluate),
    "tidy": (600.0, files_collect),
    "store": (10.0, runs_advance),
    "finetuning": (3.0, tunings_advance),
    "batches": (3.0, batches_collect),
    "drill": (600.0, drills_due),
    "requests": (60.0, requests_expire),
    "search": (5.0, sweeps_advance),
}
#: What only a node can do that sees the store of files.
AT_THE_STORE = ("tidy", "store", "batches")
#: Exit status of a worker whose name belongs to another node (EX_CONFIG).
REFUSED = 78


class Node:
    """Claims the jobs placed here and supervises them; one per worker process."""

    def __init__(self) -> None:
        self.name, self._lock = _take_name(settings.NODE_NAME or socket.gethostname())
        self.incarnation = f"{self.name}:{os.getpid()}:{time.time_ns()}"
        self.slots = threading.BoundedSemaphore(settings.WORKER_SLOTS)
        self.stopping = threading.Event()
        #: By job and epoch: one that was fenced off may still be ending when the next begins.
        self._attempts: dict[tuple[int, int], Attempt] = {}
        self._ticked = dict.fromkeys(TICKS, time.monotonic())
        self._poller = threading.Thread(target=self._poll, name="node-poll", daemon=True)
        self._devices = Devices(0)
        self._told_cache = float("-inf")
        self._lane = InlineLane(self.name, self.incarnation, self.stopping)

    def start(self) -> None:
        """Register, free what an earlier self of this node held, and begin to poll."""
        end_orphans(self.name)
        try:
            self.register()
            freed = recover_node(node=self.name, incarnation=self.incarnation)
            if freed:
                logger.warning("freed %s jobs of an earlier worker on %s", freed, self.name)
            place_jobs()
        except OperationalError as error:  # the poller tries again, and leases run out
            logger.warning("database not reachable: %s", error)
        connections.close_all()
        self._lane.start()
        self._poller.start()
        Tidier(self.stopping).start()
        if settings.WARM_TEMPLATE and sys.platform.startswith("linux") and find_spec("torch"):
            keeper.start(child_environment())
        if settings.MEASURE_SPEED:
            SpeedMeter(self.name, self.incarnation, self.stopping, self._is_busy).start()

    def register(self) -> None:
        node_may_register(name=self.name, secret=settings.NODE_SECRET)
        has = capacity()
        self._devices = Devices(len(has["gpus"]), keep=self._devices)
        node_register(
            name=self.name,
            incarnation=self.incarnation,
            slots=settings.WORKER_SLOTS,
            capacity={**has, "watts_per_core": settings.WATTS_PER_CORE, "speed": speed_known(has)},
            labels=settings.NODE_LABELS,
            shares_store=not settings.STORE_URL,
        )

    def stop(self) -> None:
        """No more claims; the running attempts stop politely and give their jobs back."""
        self.stopping.set()

    def finish(self) -> None:
        """The last moment before the process ends."""
        self._lane.finish(10)

    def tick(self, what: str) -> None:
        """Do the work of a tick, unless another process has just done it."""
        self._ticked[what] = time.monotonic()
        if what in AT_THE_STORE and settings.STORE_URL:
            return
        every_s, action = TICKS[what]
        if tick_claim(what, every_s):
            action()

    def look(self, job_id: int) -> None:
        """Somebody wants something of this job."""
        for (number, _epoch), attempt in list(self._attempts.items()):
            if number == job_id:
                attempt.look()

    def offer(self, count: int = 1) -> None:
        """Claim a job that is placed here, supervise it to its end, then others.

        With `count` above one, other threads do so beside, as far as slots are free. Inline jobs
        need no slot: their own thread runs them.
        """
        self._lane.wake()
        if not count:
            return
        for _ in range(min(count, settings.WORKER_SLOTS - len(self._attempts)) - 1):
            threading.Thread(target=self.offer, name="offer", daemon=True).start()
        while not self.stopping.is_set() and self.slots.acquire(blocking=False):
            try:
                work = self._claim()
                if work is None:
                    return
                self._supervise(*work)
            finally:
                self.slots.release()
                connections.close_all()

    def _claim(self) -> tuple[Job, JobPart | None] | None:
        """A job that is placed here, or the part of one that is; None: there is nothing to do."""
        for job in jobs_claim(worker=self.incarnation, node=self.name, inline=False):
            return job, None
        part = part_claim(worker=self.incarnation, node=self.name)
        return None if part is None else (part.job, part)

    def _supervise(self, job: Job, part: JobPart | None) -> None:
        with self._devices.reserved(job.gpus) as devices:
            attempt = attempt_of(job, part, stopping=self.stopping, devices=devices)
            key = (job.pk, job.epoch)
            self._attempts[key] = attempt
            try:
                attempt.run()
                self._place_when_due(job)
            except Exception:
                logger.exception("attempt %s of job %s ended badly", job.epoch, job.pk)
            finally:
                del self._attempts[key]

    def _place_when_due(self, job: Job) -> None:
        """A job that must wait a moment for its next attempt gets its place at that moment; the
        sweeper looks for places only every few seconds."""
        due = Job.objects.filter(pk=job.pk, state=JobState.PENDING, run_after__lte=now() + SOON)
        for run_after in due.values_list("run_after", flat=True):
            left = max(dt.timedelta(), run_after - now()) + A_MOMENT
            timer = threading.Timer(left.total_seconds(), self._place)
            timer.daemon = True
            timer.start()

    def _place(self) -> None:
        try:
            place_jobs()
        except OperationalError as error:
            logger.warning("nothing was placed: %s", error)
        finally:
            connections.close_all()

    def _poll(self) -> None:
        """Every few seconds: sign of life, jobs whose signal was lost, overdue ticks."""
        while not self.stopping.wait(POLL_S):
            try:
                close_old_connections()
                self._beat()
                self._overdue()
                self._lane.wake()
                keeper.tend()
                self._tell_cache()
                if len(self._attempts) < settings.WORKER_SLOTS and (count := self._waiting()):
                    args = (count,)
                    threading.Thread(target=self.offer, args=args, daemon=True).start()
            except OperationalError as error:
                logger.warning("database not reachable: %s", error)
            except Exception:
                logger.exception("node poll")
            finally:
                connections.close_all()
        self._say_goodbye()

    def _beat(self) -> None:
        known = node_heartbeat(
            name=self.name,
            incarnation=self.incarnation,
            used_slots=len(self._attempts),
            health=health(),
            node_time=time.time(),
        )
        if known is None:
            self.register()

    def _tell_cache(self) -> None:
        """What this node has fetched, so that what needs it is placed here; now and then."""
        if settings.STORE_URL and time.monotonic() - self._told_cache > caches.EVERY_S:
            self._told_cache = time.monotonic()
            caches.cache_report(self.name, blobs_here(caches.MOST))

    def _overdue(self) -> None:
        """Beat or the broker is away: its work is done all the same."""
        for what, (every_s, _action) in TICKS.items():
            if time.monotonic() - self._ticked[what] > every_s + TICK_GAP_S:
                self.tick(what)

    def _is_busy(self) -> bool:
        return bool(self._attempts)

    def _waiting(self) -> int:
        placed = Job.objects.filter(state=JobState.SCHEDULED, node_name=self.name).count()
        return placed + parts_waiting(self.name)

    def _say_goodbye(self) -> None:
        try:
            node_gone(name=self.name, incarnation=self.incarnation)
        except OperationalError:
            pass
        finally:
            connections.close_all()


@cache
def current_node() -> Node:
    """The node of this worker process."""
    return Node()


@signals.worker_ready.connect
def _on_ready(sender: Any = None, **_: object) -> None:
    node = current_node()
    # Its own queue, whose name is known only now; kept over reconnections to the broker.
    sender.add_task_queue(node_queue(node.name))
    # A hard end is one: Celery's would wait for attempts, and they for a database that may be gone.
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(1))
    try:
        node.start()
    except NodeRefused as error:
        logger.error("%s", error.message)
        raise SystemExit(REFUSED) from error


@signals.worker_shutting_down.connect
def _on_shutdown(**_: object) -> None:
    current_node().stop()


@signals.worker_shutdown.connect
def _on_end(**_: object) -> None:
    current_node().finish()


def _take_name(wanted: str) -> tuple[str, IO[str]]:
    """The first of `wanted`, `wanted-2`, … that no living worker of this data directory holds."""
    folder = Path(settings.DATA_DIR) / "run"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        name = wanted if number == 1 else f"{wanted}-{number}"
        handle = (folder / f"node-{name}.lock").open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            continue
        return name, handle
    raise RuntimeError(f"a thousand workers are called {wanted} on this machine")
