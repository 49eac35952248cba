"""Starts launchers as processes of their own and looks at them from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.waiting import WAIT_S

PROJECT = Path(__file__).resolve().parent.parent.parent
FAKE = [sys.executable, "-m", "tests.launcher.fake_application"]
MANAGE = [sys.executable, str(PROJECT / "manage.py")]
_OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SLIPWAY_")
DEADLINE_S = WAIT_S


def clean_environment(**more):
    """The environment without what names another stack."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    return {**kept, "PYTHONPATH": str(PROJECT), **more}


class Launcher:
    """One launcher, its output line by line, and its end."""

    def __init__(self, command, **environment):
        self.lines = []
        self.process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_for(self, text, count=1):
        until(lambda: self.output.count(text) >= count or self.process.poll() is not None)
        assert self.output.count(text) >= count, self.output
        return self

    def wait(self):
        status = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return status

    def stop(self, signum=signal.SIGINT):
        self.process.send_signal(signum)
        return self.wait()

    def end(self):
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)


@contextlib.contextmanager
def launched(command, **environment):
    launcher = Launcher(command, **environment)
    try:
        yield launcher
    finally:
        launcher.end()


def until(condition, timeout_s=DEADLINE_S):
    """Poll with a deadline."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)
    return value


def processes_of(folder):
    """Living processes that name a folder on their command line or in their environment."""
    found, needle = {}, os.fsencode(folder)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z":
                continue
            command = (entry / "cmdline").read_bytes()
            if needle in command or needle in (entry / "environ").read_bytes():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    found.pop(os.getpid(), None)
    return found


def child_pids(folder):
    """The supervised children as the launcher notes them, by name."""
    file = Path(folder) / "run" / "children.json"
    with contextlib.suppress(OSError, ValueError):
        return {name: entry[0] for name, entry in json.loads(file.read_text()).items()}
    return {}


def stack_of(folder):
    return json.loads((Path(folder) / "run" / "stack.json").read_text())
