"""A child process that answers lines of JSON, and is killed when it takes too long.

What runs in it may be given by strangers: it has no environment and no working directory of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

_ANSWER_LIMIT = 16 * 2**20


class LineProcess:
    """The parent's end. Not for several threads at once: whoever shares one locks."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it, in place of one that ran before."""
        self.stop()
        # -I: neither the environment nor the working directory reaches the script.
        self._child = subprocess.Popen(
            [sys.executable, "-I", str(self._script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            close_fds=True,
        )

    def ask(self, question: Any, seconds: float) -> dict[str, Any] | None:
        """One line out, one line back; None (and no process left) where that fails."""
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            return None
        try:
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.flush()
            line = _read_line(child.stdout, time.monotonic() + seconds)
        except OSError:
            line = None
        if line is None:
            self.stop()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """Kill it."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _read_line(pipe: IO[bytes], deadline: float) -> bytes | None:
    """A whole line before the deadline, None where it does not come."""
    parts, size = [], 0
    while size < _ANSWER_LIMIT:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return None
        part = os.read(pipe.fileno(), 65536)
        if not part:
            return None
        parts.append(part)
        size += len(part)
        if part.endswith(b"\n"):
            return b"".join(parts)
    return None
