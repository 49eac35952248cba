"""Two machines join over a real network: partition, heal, drain and kill, watched in the browser.

Part of `make chaos-crashes` (CHAOS=full): it takes minutes, root and network namespaces. Pictures
of the pages go to artifacts/screenshots/.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.running_stack import ROOT, Stack
from console.demo.client import Client
from tests.browser.conftest import CHROMIUM, SHOTS, SWITCHES
from tests.flows.namespaces import HOST, heal, inside, network, partition, why_not
from tests.flows.site import TEAM, Site, until
from tests.waiting import WAIT_S

FULL = os.environ.get("CHAOS") == "full"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.nodb,
    pytest.mark.skipif(not FULL, reason="takes minutes: run `make chaos-crashes`"),
]
LEASE = {"SLIPWAY_JOB_LEASE_S": "8", "SLIPWAY_JOB_HEARTBEAT_S": "1", "SLIPWAY_JOB_GRACE_S": "10"}
STEPS = 900
PASSWORD = "a long password for the pictures"


class OpenStack(Stack):
    """A console that other machines reach."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.url = f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(), **LEASE, "SLIPWAY_CLUSTER_HOST": HOST, "SLIPWAY_HOST": HOST,
            "SLIPWAY_NODE": "control",
        }  # fmt: skip


class Machine:
    """A machine in its own namespace with its own folder."""

    def __init__(self, name: str, number: int, folder: Path, stack: Stack) -> None:
        self.name, self.number, self.folder, self.stack = name, number, folder, stack
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **joining: str) -> None:
        kept = {k: v for k, v in self.stack.environment().items() if not k.startswith("SLIPWAY_")}
        environment = {
            **kept, **LEASE, **joining,
            "SLIPWAY_DATA_DIR": str(self.folder), "SLIPWAY_NODE": self.name,
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder.parent / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*inside(self.name), sys.executable, "manage.py", "worker"],
                cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """As a power cut would."""
        pids = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True
        )
        for pid in pids.stdout.split():
            os.kill(int(pid), signal.SIGKILL)


class Cluster:
    """The console, its admin, and the machines `east` and `west`."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.site = Site(stack)
        person = ["--email", "r@example.com", "--name", "Root", "--admin", "--password-stdin"]
        subprocess.run(
            [sys.executable, "manage.py", "user_create", *person], cwd=ROOT, check=True,
            env=stack.environment(), input=PASSWORD, capture_output=True, text=True,
        )  # fmt: skip
        words = ["--user", "r@example.com", "--scope", "read,admin", "--name", "flow"]
        self.admin = Client(stack.url, *stack.manage(["token_create", *words]))
        self.machines = {
            name: Machine(name, number, folder / name / "data", stack)
            for number, name in enumerate(("east", "west"), 2)
        }

    def states(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in self.admin.get("nodes")}

    def becomes(self, name: str, *states: str, timeout_s: float = WAIT_S) -> float:
        begun = time.monotonic()
        until(lambda: self.states().get(name) in states, f"{name} is {states}", timeout_s)
        return time.monotonic() - begun

    def submit(self) -> int:
        params = {"steps": STEPS, "step_ms": 100, "checkpoint_every": 10, "lines_per_step": 2}
        body = {"team": TEAM, "kind": "self_test", "params": params, "pool": "far"}
        return int(self.site.api.post("jobs", body)["id"])

    def job(self, job_id: int) -> dict[str, Any]:
        return dict(self.site.api.get(f"jobs/{job_id}"))

    def place_of(self, job_id: int, *, other_than: str = "") -> str:
        def place() -> str:
            row = self.job(job_id)
            running = row["state"] == "running" and (row["step"] or 0) > 0
            return row["node_name"] if running and row["node_name"] != other_than else ""

        return str(until(place, f"job {job_id} runs elsewhere than on {other_than or 'nothing'}"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("machines")
    with network("east", "west"):
        stack = OpenStack(folder / "console")
        stack.data_dir.mkdir()
        found: Cluster | None = None
        try:
            stack.start()
            stack.wait_ready()
            found = Cluster(stack, folder)
            for name, machine in found.machines.items():
                body = {"note": name, "labels": {"place": "far"}}
                token = found.admin.post("join-tokens", body)["token"]
                machine.start(SLIPWAY_JOIN_URL=stack.url, SLIPWAY_JOIN_TOKEN=token)
            for name in found.machines:
                found.becomes(name, "ready")
            found.admin.post("pools", {"name": "far", "selector": {"place": "far"}})
            yield found
        finally:
            for machine in found.machines.values() if found else ():
                machine.kill()
            stack.stop()


@pytest.fixture(scope="module")
def look(cluster) -> Iterator[Any]:
    """`look(path, name)`: take a picture of a page as the admin sees it."""
    if not CHROMIUM.exists():
        yield lambda path, name: None
        return
    from playwright.sync_api import sync_playwright

    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{cluster.site.stack.url}/login/")
        page.locator("[name=username]").fill("r@example.com")
        page.locator("[name=password]").fill(PASSWORD)
        page.locator("[name=password]").press("Enter")
        page.wait_for_url(lambda url: "/login" not in url)

        def take(path: str, name: str) -> None:
            page.goto(cluster.site.stack.url + path)
            page.wait_for_load_state("load")
            page.screenshot(path=str(SHOTS / f"two-machines-{name}.png"))

        yield take
        chromium.close()


def digest(steps: int) -> str:
    """What a self-test of so many steps computes, whatever happens to it."""
    value = hashlib.sha256(b"0").hexdigest()
    for step in range(1, steps + 1):
        value = hashlib.sha256(f"{value}:{step}".encode()).hexdigest()
    return value


def test_work_goes_on_while_machines_are_cut_off_drained_and_killed(cluster, look, capsys):
    job = cluster.submit()
    first = cluster.place_of(job)
    cut = cluster.machines[first]
    look("/nodes/", "1-before")

    partition(cut.number)
    began = time.monotonic()
    second = cluster.place_of(job, other_than=first)
    moved = time.monotonic() - began
    cluster.becomes(first, "unreachable")
    look("/nodes/", "2-partition")
    look(f"/jobs/{job}/", "2-job")

    heal(cut.number)
    healed = cluster.becomes(first, "ready")
    look("/nodes/", "3-healed")

    cluster.admin.post(f"nodes/{second}/drain", {"deadline_s": 120, "reason": "New memory"})
    began = time.monotonic()
    look(f"/nodes/{second}/", "4-drain")
    third = cluster.place_of(job, other_than=second)
    drained = time.monotonic() - began
    cluster.becomes(second, "cordoned")
    look(f"/nodes/{second}/", "5-empty")
    cluster.admin.post(f"nodes/{second}/uncordon", {})

    cluster.machines[third].kill()
    began = time.monotonic()
    last = cluster.place_of(job, other_than=third)
    killed = time.monotonic() - began
    look(f"/jobs/{job}/", "6-after-the-kill")

    ended = cluster.site.ended(job)
    assert (third, last) == (first, second)
    assert ended["result"]["digest"] == digest(STEPS)
    lines = cluster.site.lines(job)
    assert [line[0] for line in lines] == list(range(1, ended["log_seq"] + 1))
    reasons = [row["reason_code"] for row in cluster.site.api.get(f"jobs/{job}/attempts")]
    assert reasons[1] == "drained" and reasons[-1] == ""
    with capsys.disabled():
        print(
            f"\ntwo machines: on elsewhere {moved:.1f} s after the partition, {drained:.1f} s after"
            f" the drain began, {killed:.1f} s after the kill; ready {healed:.1f} s after healing;"
            f" {len(lines)} log lines, the result of an undisturbed run; attempts {reasons}"
        )
