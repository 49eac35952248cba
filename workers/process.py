"""The child process of an attempt: own session, clean environment, killed as a whole group.

It is forked from this node's template where one is ready, else started from nothing; it is the
same to everybody who looks at it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from workers.isolation.cage import Cage, gate
from workers.warm.keeper import Template, WarmProcess, keeper

#: What a child may inherit. Everything else, above all secrets, stays with the supervisor.
INHERIT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
)


class ChildProcess:
    """`python -m workers.child FOLDER` in its cage, watched by its supervisor."""

    def __init__(self, folder: Path, cage: Cage) -> None:
        self.folder, self.cage = folder, cage
        self._process: subprocess.Popen[bytes] | WarmProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit status, or None if it was killed by a signal or never ran."""
        code = self._process.returncode if self._process else None
        return code if code is not None and code >= 0 else None

    @property
    def exit_signal(self) -> str:
        """Name of the signal that killed it, such as SIGKILL, or empty."""
        code = self._process.returncode if self._process else None
        return signal.Signals(-code).name if code is not None and code < 0 else ""

    def start(self, job_file: dict[str, Any], keep: Sequence[int] = ()) -> None:
        """Write `job.json` and start. stdout and stderr below Python go into the spool as text.

        Of what is open here the child inherits `keep`, under the same numbers.

        The gate enters the cage and waits; it becomes the job once the cage has it on record.
        """
        spool = os.open(self.folder / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.cage.open()
            template = keeper.ready()
            self._process = self._forked(template, job_file, spool, keep) if template else None
            if template and self._process:
                self.cage.template = template.pid
            else:
                self._process = self._spawned(job_file, spool, keep)
        finally:
            os.close(spool)
        self.cage.entered(self._process.pid)
        self.beat()

    def _forked(
        self, template: Template, job_file: dict[str, Any], spool: int, keep: Sequence[int]
    ) -> WarmProcess | None:
        plan, environment = self._ready(job_file, template.pid)
        return template.fork(
            plan=plan, folder=self.folder, environment=environment, spool=spool, keep=keep
        )

    def _spawned(
        self, job_file: dict[str, Any], spool: int, keep: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        plan, environment = self._ready(job_file, os.getpid())
        return subprocess.Popen(
            [*gate(plan), sys.executable, "-m", "workers.child", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=spool,
            stderr=spool,
            env=environment,
            cwd=settings.BASE_DIR,
            start_new_session=True,
            pass_fds=keep,
        )

    def _ready(self, job_file: dict[str, Any], parent: int) -> tuple[Path, dict[str, str]]:
        """Lay out what a process that dies with `parent` reads: its plan, and its environment."""
        (self.folder / "job.json").write_text(json.dumps({**job_file, "parent_pid": parent}))
        (self.folder / "job.json").chmod(0o600)
        environment = child_environment(job_file.get("devices", ()))
        return self.cage.plan(parent), {**environment, **self.cage.environment()}

    def running(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s`; whether it still runs."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return True
        return False

    def beat(self) -> None:
        """A sign of life for the child's watchdog."""
        process = self._process
        if process is None or process.stdin is None or process.poll() is not None:
            return
        try:
            process.stdin.write(b".")
            process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def signal(self, number: signal.Signals) -> None:
        """To the child alone: it passes the wish on to its own children."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the whole process group and everything else in the cage, whatever is left of it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.cage.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if isinstance(self._process, WarmProcess):
            self._process.release()


def child_environment(devices: Sequence[int] = ()) -> dict[str, str]:
    """Built from zero. The settings a child loads point to no database and no Redis.

    Of the node's GPUs it sees those that were reserved for it, none if it asked for none.
    """
    kept = {name: os.environ[name] for name in INHERIT if name in os.environ}
    return {
        **kept,
        "CUDA_VISIBLE_DEVICES": ",".join(str(device) for device in devices),
        "DJANGO_SETTINGS_MODULE": "console.settings.worker",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "REDIS_URL": "redis://127.0.0.1:9",
        "SECRET_KEY": "not-for-children",
        "SLIPWAY_DATA_DIR": str(settings.DATA_DIR),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }
