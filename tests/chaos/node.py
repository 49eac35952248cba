"""A further node of an installation: a worker process of its own, reached through two proxies."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import psutil

from benchmarks.running_stack import ROOT
from launcher.linux import die_with_parent
from tests.chaos.clock import WrongClock
from tests.chaos.proxy import Mode, Proxy

Server = Literal["database", "redis"]
COMMAND = ("-m", "celery", "--quiet", "-A", "workers.celery")
SERVERS: tuple[Server, ...] = ("database", "redis")


class WorkerNode:
    """`celery worker` under a name of its own, on the data directory of a running stack."""

    def __init__(
        self,
        name: str,
        *,
        environment: Mapping[str, str],
        log: Path,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.clock = WrongClock(log.with_suffix(".clock"))
        self._command = command
        self.proxies: dict[Server, Proxy] = {
            "database": Proxy(_port(environment["DATABASE_URL"])),
            "redis": Proxy(_port(environment["REDIS_URL"])),
        }
        self._environment = {
            **environment,
            "DJANGO_SETTINGS_MODULE": "console.settings.worker",
            "SLIPWAY_NODE": name,
            "DATABASE_URL": _at(environment["DATABASE_URL"], self.proxies["database"].port),
            "REDIS_URL": _at(environment["REDIS_URL"], self.proxies["redis"].port),
            "PYTHONWARNINGS": "ignore",
            **self.clock.environment(),
        }

    def start(self) -> None:
        """Start the worker; it dies with the process that started it."""
        ours = os.getpid()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, *self._command, "worker", "--pool=threads",
                    "--concurrency", "12", "-l", "WARNING", "--without-gossip",
                    "--without-mingle", "-Q", "control", "-n", f"{self.name}@%h",
                ],
                cwd=ROOT, env=self._environment, stdout=log, stderr=log, process_group=0,
                preexec_fn=lambda: die_with_parent(signal.SIGQUIT, ours),
            )  # fmt: skip

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def kill(self) -> None:
        """The worker's main process alone, as a crash would."""
        kill_tree(self.pid, children=False)
        self._wait(10)

    def kill_all(self) -> None:
        """The worker and all its children in one moment, as a power cut would."""
        kill_tree(self.pid, children=True)
        self._wait(10)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def stop(self, timeout_s: float = 40) -> None:
        """Ask politely; whoever does not end in time is killed."""
        if self.running:
            self.resume()
            os.kill(self.pid, signal.SIGTERM)
            if not self._wait(timeout_s):
                self.kill_all()

    def partition(self, servers: Sequence[Server] = SERVERS, mode: Mode = "hole") -> None:
        """Cut the node off."""
        for server in servers:
            self.proxies[server].set(mode)

    def heal(self) -> None:
        for proxy in self.proxies.values():
            proxy.set("pass")

    def close(self) -> None:
        """No process and no proxy of this node is left."""
        self.heal()
        self.stop()
        for proxy in self.proxies.values():
            proxy.close()

    def _wait(self, timeout_s: float) -> bool:
        assert self.process is not None
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def kill_tree(pid: int, *, children: bool) -> None:
    """kill -9; with `children` everything below it, too, before anything can react."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        victims = [process, *(process.children(recursive=True) if children else [])]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGSTOP)
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()


def burn(seconds: float) -> subprocess.Popen[bytes]:
    """A process that takes all the time of a processor it can get."""
    deadline = time.time() + seconds
    code = f"import time\nwhile time.time() < {deadline}: pass"
    return subprocess.Popen([sys.executable, "-c", code])


def _port(url: str) -> int:
    return int(urlsplit(url).port or 0)


def _at(url: str, port: int) -> str:
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{port}"))
