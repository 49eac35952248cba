"""This worker service as a node: its name, its slots, its sign of life, and its polite end."""

import fcntl
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any

from celery import signals
from django.conf import settings
from django.db import OperationalError, close_old_connections, connections

from models_app.deployments.reconcile import reconcile_all
from models_app.jobs.attempts import job_claim
from models_app.jobs.models import Job
from models_app.jobs.placement import place_jobs
from models_app.jobs.recovery import recover_node, sweep
from models_app.jobs.signals import node_queue
from models_app.jobs.states import JobState
from models_app.pools.services.registration import node_gone, node_heartbeat, node_register
from workers.attempt import Attempt
from workers.capacity import capacity, health
from workers.devices import Devices
from workers.spool import clear_ended

logger = logging.getLogger(__name__)

POLL_S = 3.0
#: The node does the clock's work itself when beat or the broker has been silent for so long.
TICK_GAP_S = 12.0


class Node:
    """Claims the jobs placed here and supervises them; one per worker process."""

    def __init__(self) -> None:
        self.name, self._lock = _take_name(settings.NODE_NAME or socket.gethostname())
        self.incarnation = f"{self.name}:{os.getpid()}:{time.time_ns()}"
        self.slots = threading.BoundedSemaphore(settings.WORKER_SLOTS)
        self.stopping = threading.Event()
        self._attempts: dict[int, Attempt] = {}
        self._ticks = {"sweep": time.monotonic(), "reconcile": time.monotonic()}
        self._poller = threading.Thread(target=self._poll, name="node-poll", daemon=True)
        self._devices = Devices(0)

    def start(self) -> None:
        """Register, free what an earlier self of this node held, and begin to poll."""
        self.register()
        freed = recover_node(node=self.name, incarnation=self.incarnation)
        if freed:
            logger.warning("freed %s jobs of an earlier worker on %s", freed, self.name)
        place_jobs()
        connections.close_all()
        self._poller.start()

    def register(self) -> None:
        has = capacity()
        self._devices = Devices(len(has["gpus"]), keep=self._devices)
        node_register(
            name=self.name,
            incarnation=self.incarnation,
            slots=settings.WORKER_SLOTS,
            capacity=has,
            labels=settings.NODE_LABELS,
        )

    def stop(self) -> None:
        """No more claims; the running attempts stop politely and give their jobs back."""
        self.stopping.set()

    def ticked(self, what: str) -> None:
        """Beat is alive: the poller need not do this work now."""
        self._ticks[what] = time.monotonic()

    def look(self, job_id: int) -> None:
        """Somebody wants something of this job."""
        attempt = self._attempts.get(job_id)
        if attempt is not None:
            attempt.lease.look()

    def offer(self, job_id: int | None) -> None:
        """Claim this job (or any placed here), supervise it to its end, then others."""
        while not self.stopping.is_set() and self.slots.acquire(blocking=False):
            try:
                job = job_claim(worker=self.incarnation, node=self.name, job_id=job_id)
                if job is None:
                    return
                self._supervise(job)
            finally:
                self.slots.release()
                connections.close_all()
            job_id = None

    def _supervise(self, job: Job) -> None:
        with self._devices.reserved(job.gpus) as devices:
            attempt = Attempt(job, stopping=self.stopping, devices=devices)
            self._attempts[job.pk] = attempt
            try:
                attempt.run()
            except Exception:
                logger.exception("attempt %s of job %s ended badly", job.epoch, job.pk)
            finally:
                del self._attempts[job.pk]

    def _poll(self) -> None:
        """Every few seconds: sign of life, jobs whose signal was lost, overdue ticks."""
        while not self.stopping.wait(POLL_S):
            try:
                close_old_connections()
                self._beat()
                self._tick("sweep", sweep)
                self._tick("reconcile", reconcile_all)
                if len(self._attempts) < settings.WORKER_SLOTS and self._work_waits():
                    threading.Thread(target=self.offer, args=(None,), daemon=True).start()
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

    def _tick(self, what: str, action: Callable[[], object]) -> None:
        if time.monotonic() - self._ticks[what] > TICK_GAP_S:
            self._ticks[what] = time.monotonic()
            action()

    def _work_waits(self) -> bool:
        clear_ended()
        return Job.objects.filter(state=JobState.SCHEDULED, node_name=self.name).exists()

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
    node.start()


@signals.worker_shutting_down.connect
def _on_shutdown(**_: object) -> None:
    current_node().stop()


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
