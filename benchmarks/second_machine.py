"""A second machine for a benchmark's stack: `make worker` with a folder of its own.

Both run here: nothing but HTTP, the database and Redis joins them.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.running_stack import ROOT, Stack


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


class Machine:
    """A node that joined, told by its folder; `settings` are its further variables."""

    def __init__(
        self, folder: Path, stack: Stack, name: str = "mars", settings: Mapping[str, str] = {}
    ) -> None:
        self.data_dir, self.stack, self.name = folder, stack, name
        self._settings = dict(settings)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **joining: str) -> None:
        """With SLIPWAY_JOIN_URL and SLIPWAY_JOIN_TOKEN the first time."""
        kept = {k: v for k, v in self.stack.environment().items() if not k.startswith("SLIPWAY_")}
        environment = {
            **kept, **self._settings, **joining,
            "SLIPWAY_DATA_DIR": str(self.data_dir), "SLIPWAY_NODE": self.name,
        }  # fmt: skip
        with (self.data_dir.parent / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "worker"],
                cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """As Ctrl-C would; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill(self) -> None:
        """As a power cut would: the launcher, the worker, and all that they have started."""
        assert self.process is not None
        for pid in tree(self.process.pid):
            # One may have ended by itself when its parent did.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        """What it wrote so far."""
        return (self.data_dir.parent / "worker.log").read_text(errors="replace")
