"""A stack of its own for a benchmark: a temporary folder, any free port, gone afterwards."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent


class Stack:
    """`manage.py up`, started and stopped by the benchmark."""

    #: So long a start may take, on a machine that has much else to do.
    patience_s = 300.0

    def __init__(self, data_dir: Path, more: Mapping[str, str] | None = None) -> None:
        self.data_dir, self._more = data_dir, more or {}
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """For commands that shall find this stack."""
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("SLIPWAY_", "DATABASE_", "REDIS_"))
        }
        kept.pop("SECRET_KEY", None)
        kept.pop("DJANGO_SETTINGS_MODULE", None)
        return {
            **kept,
            "SLIPWAY_DATA_DIR": str(self.data_dir),
            "SLIPWAY_PORT": str(self.port),
            **self._more,
        }

    def start(self, path: str = "/login/") -> float:
        """Seconds until `path` answers 200."""
        begun = time.monotonic()
        log = (self.data_dir / "up.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT, env=self.environment(), stdout=log, stderr=log,
        )  # fmt: skip
        while not self._answers(path):
            if time.monotonic() - begun > self.patience_s:
                raise SystemExit((self.data_dir / "up.log").read_text()[-4000:])
            time.sleep(0.01)
        return time.monotonic() - begun

    def wait_ready(self) -> None:
        """Until every part is there, a worker included."""
        while not self._answers("/readyz"):
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(180)

    def manage(self, *commands: list[str]) -> list[str]:
        """What management commands say, all run by one process: starting it is most of the work."""
        code = (
            "import io, json; from django.core.management import call_command\n"
            f"told = [io.StringIO() for _ in {commands!r}]\n"
            f"[call_command(*c, stdout=out) for c, out in zip({commands!r}, told)]\n"
            "print(json.dumps([out.getvalue().strip() for out in told]))"
        )
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code],
            cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout.splitlines()[-1]))

    def addresses(self) -> dict[str, str]:
        """DATABASE_URL and the others of the running stack."""
        found = json.loads((self.data_dir / "run" / "stack.json").read_text())
        return {
            k: str(v) for k, v in found.items() if k in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")
        }

    def _answers(self, path: str) -> bool:
        try:
            with urlopen(self.url + path, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


@contextlib.contextmanager
def running_stack(
    *,
    started: bool = True,
    environment: Mapping[str, str] | None = None,
    kind: type[Stack] = Stack,
) -> Iterator[Stack]:
    """A stack on an empty data directory, with some settings more."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-bench-"))
    stack = kind(folder, environment)
    try:
        if started:
            stack.start()
            stack.wait_ready()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
