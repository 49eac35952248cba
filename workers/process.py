"""The child process of an attempt: own session, clean environment, killed as a whole group."""

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

from workers.isolation.cage import Cage

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
        self._process: subprocess.Popen[bytes] | None = None

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
        """Write `job.json` and spawn. stdout and stderr below Python go into the spool as text.

        Of what is open here the child inherits `keep`, under the same numbers.

        The gate enters the cage and waits; it becomes the job once the cage has it on record.
        """
        job_file = {**job_file, "parent_pid": os.getpid()}
        (self.folder / "job.json").write_text(json.dumps(job_file))
        (self.folder / "job.json").chmod(0o600)
        spool = os.open(self.folder / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            gate = self.cage.open()
            self._process = subprocess.Popen(
                [*gate, sys.executable, "-m", "workers.child", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=spool,
                stderr=spool,
                env={
                    **child_environment(job_file.get("devices", ())),
                    **self.cage.environment(),
                },
                cwd=settings.BASE_DIR,
                start_new_session=True,
                pass_fds=keep,
            )
        finally:
            os.close(spool)
        self.cage.entered(self._process.pid)
        self.beat()

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
