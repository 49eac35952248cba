"""Keeps one template of this node loaded, and asks it for processes.

A job never waits for a template: while none is ready it is started from nothing, as it always was.
"""

import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from workers.warm import channel, guise
from workers.warm.sources import sources_state

logger = logging.getLogger(__name__)

#: A fork takes milliseconds; a template that takes longer is given up.
FORK_WITHIN_S = 5.0
#: Least age of a lost template before another is loaded; doubled each time, up to the second.
AGAIN_S, AGAIN_AT_MOST_S = 1.0, 300.0
MODULE = "workers.warm.template"


class Phase(Enum):
    """Of a template: unsafe until the code changes; retired for good, also when it was lost."""

    LOADING, READY, UNSAFE, RETIRED = range(4)


class WarmProcess:
    """A process that a template has forked: what `subprocess.Popen` offers of it, as is needed."""

    def __init__(self, pid: int, stdin: IO[bytes], template: "Template") -> None:
        self.pid, self.stdin = pid, stdin
        #: As with Popen: None while it runs, below zero the number of the signal that ended it.
        self.returncode: int | None = None
        self._template = template
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; raises TimeoutExpired as Popen does. Wakes at the moment of its end."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def release(self) -> None:
        """It has ended and nobody will signal it any more: its number may be used again."""
        self._template.release(self)

    def end(self, status: int) -> None:
        """Called by the template's reader."""
        self.returncode = status
        self._ended.set()


class Template(threading.Thread):
    """One process with its channel; this thread starts it, reads what it says, and reaps it."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(name="template", daemon=True)
        #: Of the code that it loads.
        self.sources = sources_state()
        self.pid = 0
        self.phase = Phase.LOADING
        self._over = False
        self._environment = environment
        self._line, self._far = channel.pair()
        self._told = threading.Condition()
        self._orders, self._orders_open = itertools.count(1), 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._running: dict[int, WarmProcess] = {}
        self._ended_early: dict[int, int] = {}

    def run(self) -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, guise.spare_argument()],
                stdin=self._far.fileno(), stdout=subprocess.DEVNULL,
                env=guise.with_spare(self._environment), cwd=settings.BASE_DIR,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            logger.warning("no template could be started: %s", error)
            self._gone()
            return
        finally:
            self._far.close()
        self.pid = process.pid
        try:
            while (message := channel.receive(self._line)[0]) is not None:
                self._hear(message)
        finally:
            process.kill()
            status = process.wait()
            if self.phase is not Phase.RETIRED:
                logger.warning("the template has ended with status %s", status)
            self._gone()

    def _hear(self, message: dict[str, Any]) -> None:
        with self._told:
            if "ended" in message:
                process = self._running.get(message["ended"])
                if process is None:
                    self._ended_early[message["ended"]] = message["status"]
                else:
                    process.end(message["status"])
            elif "order" in message:
                self._answers[message["order"]] = message
                self._told.notify_all()
            elif "unsafe" in message:
                self.phase = Phase.UNSAFE
                logger.warning("jobs start without a template: %s", message["unsafe"])
            elif self.phase is Phase.LOADING:
                self.phase = Phase.READY

    def _gone(self) -> None:
        """The kernel has ended with it what it had forked."""
        with self._told:
            self._over = True
            if self.phase is not Phase.UNSAFE:
                self.phase = Phase.RETIRED
            for process in self._running.values():
                if process.returncode is None:
                    process.end(-signal.SIGKILL)
            self._told.notify_all()
            self._line.close()

    def fork(
        self,
        *,
        plan: Path,
        folder: Path,
        environment: dict[str, str],
        spool: int,
        keep: Sequence[int] = (),
    ) -> WarmProcess | None:
        """A new process that waits in the gate; None: it cannot be had here and now."""
        number = next(self._orders)
        order = {
            "order": number,
            "plan": str(plan),
            "folder": str(folder),
            "environment": environment,
            "keep": list(keep),
        }
        reading, writing = os.pipe()
        try:
            with self._told, self._busy():
                channel.send(self._line, order, [reading, spool, *keep])
                pid = self._forked(number)
                return self._known(WarmProcess(pid, os.fdopen(writing, "wb"), self))
        except OSError as error:
            # If it is forked after all: without a word on its stdin the gate does not open.
            os.close(writing)
            logger.warning("the template forks nothing: %s", error)
            return None
        finally:
            os.close(reading)

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """With the lock held, which waiting lets go of: nobody closes it meanwhile."""
        self._orders_open += 1
        try:
            yield
        finally:
            self._orders_open -= 1
            self._close_if_idle()

    def _forked(self, number: int) -> int:
        """Wait for the answer to an order. OSError: there is none, or not the one hoped for."""
        self._told.wait_for(lambda: number in self._answers or self._over, FORK_WITHIN_S)
        answer = self._answers.pop(number, None)
        if answer is None:
            self.phase = Phase.RETIRED
            raise OSError("it does not answer")
        if "refused" in answer:
            raise OSError(answer["refused"])
        return int(answer["started"])

    def _known(self, process: WarmProcess) -> WarmProcess:
        self._running[process.pid] = process
        status = self._ended_early.pop(process.pid, None)
        if status is None and self._over:
            status = -signal.SIGKILL
        if status is not None:
            process.end(status)
        return process

    def release(self, process: WarmProcess) -> None:
        """Let go of an ended process; a retired template goes with its last one."""
        with self._told:
            if self._running.pop(process.pid, None) is not None and not self._over:
                with contextlib.suppress(OSError):
                    channel.send(self._line, {"release": process.pid})
            self._close_if_idle()

    def retire(self) -> None:
        """No more forks: it ends as soon as nothing runs that it has forked."""
        with self._told:
            self.phase = Phase.RETIRED
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self.phase is Phase.RETIRED and not (self._running or self._orders_open or self._over):
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)


class Keeper:
    """The templates of this worker: one that is asked, and earlier ones whose jobs still run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._template: Template | None = None
        self._environment: dict[str, str] | None = None
        self._loaded_at = 0.0
        self._again_s = AGAIN_S

    def start(self, environment: dict[str, str]) -> None:
        """Have a template loaded from now on, with these variables."""
        with self._lock:
            self._environment = environment
            self._load()

    def stop(self) -> None:
        """No more templates; one with running jobs ends with the last of them."""
        with self._lock:
            self._environment = None
            if self._template is not None:
                self._template.retire()
                self._template = None

    def ready(self) -> Template | None:
        """A template that is loaded, safe, and of the code that lies on the disk now."""
        with self._lock:
            if self._template is not None and self._template.sources != sources_state():
                self._template.retire()
            self._replace_lost()
            template = self._template
            return template if template and template.phase is Phase.READY else None

    def tend(self) -> None:
        """Called now and then: a template that was lost is loaded again."""
        with self._lock:
            self._replace_lost()

    def _replace_lost(self) -> None:
        """Load another one, unless the last was loaded a moment ago: code that keeps changing, or
        a template that keeps dying, must not keep a processor busy."""
        template, age_s = self._template, time.monotonic() - self._loaded_at
        if template is None or template.phase is not Phase.RETIRED:
            return
        if age_s > self._again_s:
            patient = age_s < AGAIN_AT_MOST_S
            self._again_s = min(2 * self._again_s, AGAIN_AT_MOST_S) if patient else AGAIN_S
            self._load()

    def _load(self) -> None:
        assert self._environment is not None
        self._loaded_at = time.monotonic()
        self._template = Template(self._environment)
        self._template.start()


keeper = Keeper()
