"""Keeps child processes running in one thread: output, restarts with back-off, ordered stop."""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from launcher import adopted, linux
from launcher.child import Child, ChildSpec, Stage
from launcher.errors import LauncherError, StopRequested
from launcher.journal import Journal

MAX_QUICK_FAILURES = 8
_QUICK_S = 60
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 30
_FORCE_GRACE_S = 10
_SAME_WISH_S = 0.5
_LONGEST_LINE = 65536


@dataclass(frozen=True)
class _Output:
    child: Child


class Supervisor:
    """Owns the children of one launcher; used from a single thread.

    Death with the parent is bound to the *thread* that forked, hence the one thread.
    """

    def __init__(self, journal: Journal, on_change: Callable[[list[Child]], None]) -> None:
        self.journal = journal
        self.children: list[Child] = []
        self.exit_status = 0
        self.stopping = False
        self.last_signal: int | None = None
        self._signals = 0
        self._signalled_at = 0.0
        self._on_change = on_change
        self._selector = selectors.DefaultSelector()
        self._wakeup, write_end = os.pipe()
        for end in (self._wakeup, write_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)
        linux.become_subreaper()

    def say(self, text: str) -> None:
        """Report something of the launcher itself."""
        self.journal.say("stack", text)

    def start(self, spec: ChildSpec) -> Child:
        """Start a server and keep it running from now on."""
        child = Child(spec)
        self.children.append(child)
        self._spawn(child)
        return child

    def start_once(self, spec: ChildSpec) -> Child:
        """Start a command that is not restarted when it ends."""
        child = self.start(spec)
        child.wanted = False
        return child

    def run_once(self, spec: ChildSpec) -> int:
        """Run a command to its end, with its output in the journal; raises StopRequested."""
        child = self.start_once(spec)
        process = child.process
        assert process is not None
        while child.process:
            self.check_stop()
            self.pump(0.5)
        self._drain(child)
        self.children.remove(child)
        return process.returncode

    def wait_for_end(self, child: Child, timeout_s: float) -> bool:
        """Work until a child has ended, stop or no stop; False if it did not in time."""
        deadline = time.monotonic() + timeout_s
        while child.process and time.monotonic() < deadline:
            self.pump(max(0.0, deadline - time.monotonic()))
        return child.process is None

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Work until `ready` says yes; raises LauncherError after `timeout_s`, StopRequested."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check_stop()
            if time.monotonic() > deadline:
                raise LauncherError(f"{what} was not ready after {timeout_s:.0f} s; see the log")
            self.pump(0.03)
        self.check_stop()

    def run(self) -> None:
        """Work until somebody asks to stop, or a server cannot be kept alive."""
        while not self.stopping:
            self.pump(3600)

    def check_stop(self) -> None:
        """Raise StopRequested once a stop was asked for."""
        if self.stopping:
            raise StopRequested

    def stop_all(self) -> None:
        """End the children stage by stage; each further signal to us makes it faster."""
        self.stopping = True
        for stage in Stage:
            self.stop_stage(stage)
            if stage == Stage.WORKER:
                self._end_adopted()
        self._end_adopted()

    def stop_stage(self, stage: Stage) -> None:
        """End the children of one stage."""
        for child in self.children:
            if child.spec.stage == stage:
                child.wanted, child.restart_at = False, None
        self._stop([c for c in self.children if c.spec.stage == stage and c.process])

    def pump(self, timeout_s: float) -> None:
        """One turn: wait for something, relay output, take note of ends, restart what is due."""
        due = [c.restart_at for c in self.children if c.restart_at]
        if due:
            timeout_s = max(0.0, min(timeout_s, min(due) - time.monotonic()))
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, _Output):
                self._relay(key.fd, key.data.child)
            else:
                self._count_signals()
        for child in self.children:
            if child.process and child.process.poll() is not None:
                self._ended(child)
        adopted.reap(self._known())
        for child in self.children:
            if child.restart_at and time.monotonic() >= child.restart_at and not self.stopping:
                try:
                    self._spawn(child)
                except LauncherError as error:  # out of processes or memory: it may pass
                    self._failed(child, str(error))

    def _spawn(self, child: Child) -> None:
        reader = child.spawn()
        if reader is not None:
            self._selector.register(reader, selectors.EVENT_READ, _Output(child))
        self._on_change(self.children)

    def _count_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for signum in os.read(self._wakeup, 4096):
                if signum == signal.SIGCHLD:
                    continue
                now = time.monotonic()
                # `timeout` and some terminals deliver one wish twice: it is not impatience.
                if signum != self.last_signal or now - self._signalled_at > _SAME_WISH_S:
                    self._signals += 1
                self.stopping, self.last_signal, self._signalled_at = True, signum, now

    def _relay(self, reader: int, child: Child) -> bool:
        """Pass on what there is to read; False at the end of the stream."""
        try:
            data = os.read(reader, _LONGEST_LINE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        *lines, child.pending = (child.pending + data).split(b"\n")
        if child.pending and (not data or len(child.pending) >= _LONGEST_LINE):
            lines, child.pending = [*lines, child.pending], b""
        for line in lines:
            self.journal.say(
                child.spec.name, line.decode(errors="replace"), keep=child.spec.keep_log
            )
        if not data:
            self._selector.unregister(reader)
            os.close(reader)
        return bool(data)

    def _drain(self, child: Child) -> None:
        """Read the last words of an ended one-shot; nobody holds its pipe any more."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Output) and key.data.child is child:
                while self._relay(key.fd, child):
                    pass

    def _ended(self, child: Child) -> None:
        assert child.process is not None
        status = child.process.returncode
        child.sweep_group()
        child.process = None
        self._on_change(self.children)
        if child.wanted and not self.stopping:
            self._failed(child, describe(status))

    def _failed(self, child: Child, how: str) -> None:
        """Decide when to start it again, or that it is hopeless."""
        quick = time.monotonic() - child.started_at <= _QUICK_S
        child.failures = child.failures + 1 if quick else 1
        name = child.spec.name
        if child.failures >= MAX_QUICK_FAILURES:
            self.say(f"{name} ended {child.failures} times in a row ({how}); giving up")
            self.stopping, self.exit_status = True, 1
            return
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (child.failures - 1))
        child.restart_at = time.monotonic() + delay
        self.say(f"{name} ended ({how}); again in {delay:.1f} s")

    def _stop(self, children: list[Child]) -> None:
        for child in children:
            child.send(child.spec.stop_signal)
        seen = self._signals
        deadline = time.monotonic() + max((c.spec.grace_s for c in children), default=0)
        forced = False
        while any(c.process for c in children):
            self.pump(max(0.0, min(0.5, deadline - time.monotonic())))
            if time.monotonic() < deadline and self._signals == seen:
                continue
            for child in (c for c in children if c.process):
                signum = signal.SIGKILL if forced else child.spec.force_signal
                self.say(f"{child.spec.name} does not end by itself; {signum.name}")
                child.send(signum)
            seen, forced = self._signals, True
            deadline = time.monotonic() + _FORCE_GRACE_S

    def _known(self) -> set[int | None]:
        return {child.pid for child in self.children}

    def _end_adopted(self) -> None:
        adopted.end_all(self._known, self.pump)


def describe(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
