"""One supervised process: how it is described, started and signalled."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from launcher import linux
from launcher.errors import LauncherError

PROJECT = Path(__file__).resolve().parent.parent


class Stage(IntEnum):
    """The order of stopping: what uses something ends before it."""

    FRONT = 0
    WORKER = 1
    BROKER = 2
    DATABASE = 3


class Identity(Protocol):
    """As whom a process runs; entered in the child between fork and exec."""

    def enter(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What to start, and with which signals to end it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stage: Stage = Stage.FRONT
    directory: Path = PROJECT
    identity: Identity | None = None
    #: asked to end / the launcher died / did not end in time
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGTERM
    force_signal: signal.Signals = signal.SIGKILL
    grace_s: float = 15
    #: open files of the launcher that it gets, under the same numbers
    files: Sequence[int] = ()
    #: False for output that must not be kept in a file (a one-time password)
    keep_log: bool = True
    #: True for a command that owns the terminal: its output is not relayed, Ctrl-C reaches it
    foreground: bool = False


@dataclass
class Child:
    """A process of a spec over its restarts."""

    spec: ChildSpec
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0
    failures: int = 0
    restart_at: float | None = None
    wanted: bool = True
    pending: bytes = field(default=b"", repr=False)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process else None

    def spawn(self) -> int | None:
        """Start the process; returns the end from which its output is read, if it is relayed.

        Raises LauncherError.
        """
        self.started_at, self.restart_at, self.wanted = time.monotonic(), None, True
        if self.spec.foreground:
            self.process = self._popen(stdin=None, output=None, group=None)
            return None
        reader, writer = os.pipe()
        try:
            # Its own process group: Ctrl-C in the terminal reaches the launcher alone, which then
            # stops everything in order.
            self.process = self._popen(stdin=subprocess.DEVNULL, output=writer, group=0)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        return reader

    def _popen(
        self, *, stdin: int | None, output: int | None, group: int | None
    ) -> "subprocess.Popen[bytes]":
        launcher, spec = os.getpid(), self.spec

        def enter() -> None:  # safe between fork and exec: the launcher has one thread
            if spec.identity:
                spec.identity.enter()
            linux.die_with_parent(spec.orphan_signal, launcher)

        try:
            return subprocess.Popen(
                list(spec.command),
                stdin=stdin,
                stdout=output,
                stderr=output,
                env=dict(spec.environment),
                cwd=spec.directory,
                preexec_fn=enter,
                pass_fds=spec.files,
                process_group=group,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise LauncherError(f"{spec.command[0]} cannot be started: {error}") from error

    def send(self, signum: signal.Signals) -> None:
        """Signal the process itself; its own children are its business."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signum)

    def sweep_group(self) -> None:
        """Kill what the ended process left in its group.

        Training processes live in sessions of their own and are not reached by this: they get
        their parent-death signal and may finish writing.
        """
        if self.process and not self.spec.foreground:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
