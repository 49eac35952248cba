"""The servers under an application, open for as long as a `with` block lasts."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import ports, strays
from launcher.child import ChildSpec
from launcher.errors import StopRequested
from launcher.journal import Journal
from launcher.options import Options
from launcher.postgres import Postgres
from launcher.state import DataDirectory
from launcher.supervisor import Supervisor
from launcher.valkey import Valkey

READY_S = 90
#: Longest stop of a child whose launcher was killed, with a margin.
_LEFT_OVER_GRACE_S = 40


class Stack:
    """A data directory we hold, its supervisor, and the addresses of its two servers."""

    def __init__(self, options: Options, data: DataDirectory, supervisor: Supervisor) -> None:
        self.options = options
        self.data = data
        self.supervisor = supervisor
        self.database_url = options.database_url
        self.redis_url = options.redis_url
        self.secret_key = options.secret_key or data.secret("secret_key")[0]
        self._listening: list[socket.socket] = []

    def start_servers(self, *, fast: bool = False) -> None:
        """Start those servers whose address was not given, and wait until they answer."""
        supervisor, begun = self.supervisor, time.monotonic()
        host, networks = self.options.cluster_host, self.options.cluster_networks
        ports.require_address(host, "SLIPWAY_CLUSTER_HOST")
        postgres = valkey = None
        if not self.database_url:
            postgres = Postgres(self.data, fast=fast, cluster_host=host, networks=networks)
        if not self.redis_url:
            valkey = Valkey(self.data, fast=fast, cluster_host=host)
        if postgres:
            if postgres.prepare():
                supervisor.say(f"database made in {time.monotonic() - begun:.1f} s")
            supervisor.start(postgres.spec())
            self.database_url = postgres.url
        if valkey:
            valkey.prepare(frozenset({postgres.port} if postgres else ()))
            supervisor.start(valkey.spec())
            self.redis_url = valkey.url
        if postgres:
            supervisor.wait_until(postgres.is_ready, "PostgreSQL", READY_S)
        if valkey:
            supervisor.wait_until(valkey.is_ready, "Redis", READY_S)
        if postgres or valkey:
            supervisor.say(f"servers ready after {time.monotonic() - begun:.1f} s")

    def listen(self, port: int) -> int:
        """Number of a socket that listens there until the stack stops, for children that serve it.

        Raises PortTaken.
        """
        server = ports.listen(self.options.host, port)
        self._listening.append(server)
        return server.fileno()

    def stop_listening(self) -> None:
        """With the last child that serves them the sockets are closed, and callers are refused."""
        for server in self._listening:
            server.close()

    def environment(self) -> dict[str, str]:
        """What children and other terminals need to know."""
        options = self.options
        return {
            **options.environment,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SECRET_KEY": self.secret_key,
            "SLIPWAY_DATA_DIR": str(self.data.path),
            "SLIPWAY_HOST": options.host,
            "SLIPWAY_PORT": str(options.port),
            "SLIPWAY_PUBLIC_URL": options.environment.get("SLIPWAY_PUBLIC_URL") or options.url,
            "PYTHONUNBUFFERED": "1",
        }

    def publish(self, *, url: str = "") -> None:
        """Let `manage.py` in other terminals find this stack."""
        self.data.publish(
            {
                "DATABASE_URL": self.database_url,
                "REDIS_URL": self.redis_url,
                "SECRET_KEY": self.secret_key,
                "url": url,
                "cluster_host": self.options.cluster_host,
                "pid": os.getpid(),
            }
        )

    def run_once(self, spec: ChildSpec) -> int:
        """Run a command to its end under the supervisor."""
        return self.supervisor.run_once(spec)


@contextlib.contextmanager
def opened(options: Options, *, quiet: bool = False) -> Iterator[Stack]:
    """Hold the data directory; end everything that was started, however the block ends.

    A wish to stop (Ctrl-C) ends the block silently. Raises LauncherError.
    """
    data = DataDirectory(options.data_dir)
    data.acquire()
    journal = Journal(data.log, quiet=quiet)
    children_file = data.run / "children.json"
    for name in strays.end_all(children_file, grace_s=_LEFT_OVER_GRACE_S):
        journal.say("stack", f"{name} of a launcher that was killed had to be killed, too")
    supervisor = Supervisor(journal, lambda now: strays.remember(children_file, now))
    stack = Stack(options, data, supervisor)
    try:
        yield stack
    except StopRequested:
        pass
    finally:
        begun = time.monotonic()
        supervisor.say("stopping")
        data.withdraw()
        stack.stop_listening()
        supervisor.stop_all()
        Path(children_file).unlink(missing_ok=True)
        supervisor.say(f"stopped in {time.monotonic() - begun:.1f} s")
        journal.close()
