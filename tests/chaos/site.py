"""An installation of several nodes that can be broken: the launcher's stack and further workers.

with chaos_site() as site:
    site.start_node("node-b", {"zone": "b"})
    site.partition("node-b")
    site.heal("node-b")
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.running_stack import ROOT, Stack
from tests.chaos.caller import Caller
from tests.chaos.disks import mount_small, unmount
from tests.chaos.node import COMMAND, SERVERS, Server, WorkerNode, kill_tree
from tests.chaos.proxy import Mode
from tests.chaos.truth import Truth
from tests.flows.site import TEAM, Site, until
from tests.waiting import WAIT_S

LEASE_S = 6
FAST = {
    "SLIPWAY_JOB_LEASE_S": str(LEASE_S),
    "SLIPWAY_JOB_HEARTBEAT_S": "1",
    "SLIPWAY_JOB_GRACE_S": "5",
    "SLIPWAY_MASS_LOSS_HOLD_S": "10",
    "SLIPWAY_WORKER_SLOTS": "5",
    "SLIPWAY_DB_POOL": "6",
    "SLIPWAY_LOG_LEVEL": "INFO",
    "SLIPWAY_MEASURE_SPEED": "0",
}
HOME = "node-a"
SCOPES = "read,infer,write,deploy,admin"
SETTLE = """
import sys, django
django.setup()
from django.core.management import call_command
team, scopes = sys.argv[1:]
call_command("team_create", team)
person = ["--email", "ana@example.com", "--name", "Ana", "--admin"]
call_command("user_create", *person, "--team", team, "--role", "admin")
words = ["--user", "ana@example.com", "--scope", scopes, "--name", "chaos"]
call_command("token_create", *words)
"""


class ChaosStack(Stack):
    """The launcher's stack with short leases; its own worker is `node-a`."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **FAST, "SLIPWAY_NODE": HOME}


class ChaosSite(Site):
    """A stack, its further nodes, one person who may do everything, and hands that break it."""

    def __init__(self, stack: Stack, token: str = "") -> None:
        self.stack = stack
        self.nodes: dict[str, WorkerNode] = {}
        self.token = token or self._settle()
        self.api = Caller(stack.url, self.token)
        self.truth = Truth(lambda: self.stack.addresses()["DATABASE_URL"])

    def _settle(self) -> str:
        """A team and a person in one process: starting Django three times would take long."""
        done = subprocess.run(
            [sys.executable, "-c", SETTLE, TEAM, SCOPES],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**self.stack.environment(), **self.stack.addresses(),
                 "DJANGO_SETTINGS_MODULE": "console.settings.web"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    # ---- nodes ----

    def start_node(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] = COMMAND,
        wait: bool = True,
    ) -> WorkerNode:
        """A further node of that name, until it takes jobs; one that was killed starts again."""
        if name not in self.nodes:
            words = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
            environment = {
                **self.stack.environment(), **self.stack.addresses(),
                **({"SLIPWAY_NODE_LABELS": words} if words else {}),
            }  # fmt: skip
            log = self.stack.data_dir / "log" / f"{name}.log"
            self.nodes[name] = WorkerNode(name, environment=environment, log=log, command=command)
        node = self.nodes[name]
        if not node.running:
            node.start()
        if wait:
            until(lambda: self.takes_jobs(name), f"{name} takes jobs")
        return node

    def takes_jobs(self, name: str) -> bool:
        query = (
            "SELECT 1 FROM pools_node WHERE name = %s AND state = 'ready'"
            " AND last_seen_at > clock_timestamp() - interval '6 s'"
        )
        return self.truth.one(query, name) is not None

    def stop_node(self, name: str) -> None:
        self.nodes[name].stop()

    def partition(
        self, name: str, servers: Sequence[Server] = SERVERS, mode: Mode = "hole"
    ) -> None:
        self.nodes[name].partition(servers, mode)

    def heal(self, name: str) -> None:
        self.nodes[name].heal()

    def worker_pid(self, name: str) -> int:
        """Process id of a node's worker."""
        return self.nodes[name].pid if name in self.nodes else self.pid("worker")

    # ---- the launcher ----

    def kill_launcher(self) -> None:
        """kill -9; its children get their signals from the kernel."""
        assert self.stack.process is not None
        self.stack.process.kill()
        self.stack.process.wait()

    def pid_of(self, name: str, timeout_s: float = WAIT_S) -> int:
        """Process id of a living child of the launcher, which may be starting it just now."""

        def alive() -> int:
            with contextlib.suppress(OSError, ValueError, KeyError):
                pid = self.pid(name)
                os.kill(pid, 0)
                return pid
            return 0

        return int(until(alive, f"{name} runs", timeout_s))

    def close(self) -> list[str]:
        """Heal, stop everything in order; what is left of it all the same. Twice is harmless."""
        for node in self.nodes.values():
            node.heal()
            if node.running:
                node.resume()
                os.kill(node.pid, signal.SIGTERM)
        for node in self.nodes.values():
            node.close()
        self.nodes.clear()
        self.truth.close()
        process = self.stack.process
        if process is not None and process.poll() is None:
            self.stack.stop()
        deadline = time.monotonic() + 10
        while (left := self.left_over()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for line in left:
            kill_tree(int(line.split()[0]), children=False)
        return left


@contextlib.contextmanager
def chaos_site(
    template: "tuple[Path, str] | None" = None, *, small_disks: bool = False
) -> Iterator[ChaosSite]:
    """A site on an empty data directory, or on a copy of `template` (its folder and token).

    It is closed at the end if the caller has not done so, and its folder removed unless there is
    a file `keep` in it. `small_disks` puts checkpoints and spools on small file systems of their
    own, where the machine allows that.
    """
    folder = Path(tempfile.mkdtemp(prefix="slipway-chaos-"))
    disks = [folder / "checkpoints", folder / "spool"] if small_disks else []
    stack = ChaosStack(folder)
    site: ChaosSite | None = None
    try:
        for disk in disks:
            mount_small(disk)
        if template:
            shutil.copytree(template[0], folder, dirs_exist_ok=True, symlinks=True)
            copy_owners(template[0], folder)
        stack.start()
        site = ChaosSite(stack, template[1] if template else "")
        yield site
    finally:
        if site is not None:
            site.close()
        elif stack.process and stack.process.poll() is None:
            stack.stop()
        kept = (folder / "keep").exists()
        for disk in disks:
            unmount(disk, keep=kept)
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def copy_owners(source: Path, target: Path) -> None:
    """PostgreSQL refuses a cluster that is not its own: keep owners where we are root."""
    if os.geteuid() != 0:
        return
    for path in [source, *source.rglob("*")]:
        found = path.lstat()
        copy = target / path.relative_to(source)
        if copy.exists() or copy.is_symlink():
            os.chown(copy, found.st_uid, found.st_gid, follow_symlinks=False)
