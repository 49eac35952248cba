"""Replicas on two machines: scaled under load, lost with their node, asleep and woken.

The second machine has a folder of its own and gets its files over HTTP. Part of
`make chaos-crashes`: it takes minutes.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from benchmarks.second_machine import Machine
from tests.flows.site import TEAM, until
from tests.flows.test_joining import LEASE, Cluster, OpenStack
from tests.flows.traffic import Traffic
from tests.waiting import WAIT_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nodb,
    pytest.mark.skipif("CHAOS" not in os.environ, reason="run `make chaos-crashes`"),
]
SPEC: dict[str, Any] = {
    "replicas": 1, "threads": 1, "max_slots": 8, "max_replicas": 3, "min_replicas": 0,
    "target_requests": 4, "scale_down_after_s": 5, "sleep_after_s": 10, "keep_warm_s": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("scaling")
    stack = OpenStack(folder / "console")
    stack.data_dir.mkdir()
    stack.patience_s = 400
    machine = Machine(folder / "mars", stack, settings=LEASE)
    machine.data_dir.mkdir()
    try:
        stack.start()
        stack.wait_ready()
        found = Cluster(stack, machine)
        token = found.admin.post("join-tokens", {"note": "mars"})["token"]
        machine.start(SLIPWAY_JOIN_URL=stack.url, SLIPWAY_JOIN_TOKEN=token)
        found.ready("mars")
        yield found
    finally:
        if machine.running():
            machine.stop()
        stack.stop()


class Deployment:
    """A deployment of an n-gram model, and what the API says of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.api, site = cluster.api, cluster.site
        data = site.dataset()
        self.api.post("models", {"team": TEAM, "name": "counted", "family": "ngram"})
        config = {"unit": "word", "lowercase": True, "order": 3}
        body = {"team": TEAM, "model": "counted", "dataset_version": data["id"], "config": config}
        run = self.api.post("training-runs", body)
        site.ended(run["job"])
        version = self.api.get(run["url"])
        row = self.api.post(
            "deployments", {"team": TEAM, "name": "counter", "environment": "development"}
        )
        self.path, self.model = f"deployments/{row['id']}", row["model"]
        self.api.post(
            f"{self.path}/revisions", {"model_version": version["id"], "spec": SPEC, "reason": "-"}
        )
        self.ready(1)
        openai = OpenAI(base_url=f"{cluster.stack.url}/v1", api_key=site.token)
        until(lambda: self.model in {row.id for row in openai.models.list()}, "it can be asked")
        openai.close()

    def replicas(self, state: str = "ready") -> list[dict[str, Any]]:
        rows = self.api.get(f"{self.path}/replicas")
        rows = rows["results"] if isinstance(rows, dict) else rows
        return [row for row in rows if not state or row["state"] == state]

    def ready(self, count: int, timeout_s: float = WAIT_S) -> float:
        begun = time.monotonic()
        until(
            lambda: len(self.replicas()) == count and len(self.replicas("")) == count,
            f"{count} replicas, no more and no fewer", timeout_s,
        )  # fmt: skip
        return time.monotonic() - begun

    def scale(self, replicas: int, for_s: int = 600) -> None:
        self.api.post(f"{self.path}/scale", {"replicas": replicas, "for_s": for_s})

    def events(self) -> list[tuple[int, int, str]]:
        rows = self.api.get(f"{self.path}/scaling")
        rows = rows["results"] if isinstance(rows, dict) else rows
        return [(row["before"], row["after"], row["cause"]) for row in rows]


@pytest.fixture(scope="module")
def deployment(cluster) -> Deployment:
    return Deployment(cluster)


def test_one_to_three_to_one_under_load_fails_nobody(cluster, deployment, capsys):
    with Traffic(cluster.stack.url, cluster.site.token, deployment.model) as traffic:
        traffic.answered(10)
        deployment.scale(3)
        up = deployment.ready(3)
        nodes = sorted(row["node"] for row in deployment.replicas())
        traffic.answered(20)
        deployment.scale(1, for_s=600)
        down = deployment.ready(1)
        traffic.answered(20)
    assert traffic.failed == []
    assert traffic.broken == 0
    assert len(set(nodes)) == 2, "spread over both nodes"
    with capsys.disabled():
        print(f"\nscaling: 1 → 3 in {up:.1f} s, 3 → 1 in {down:.1f} s, nobody failed")


def test_the_second_replica_there_fetches_nothing(cluster, deployment):
    """Mars has the files since the test before; its replica comes back without a download."""
    blobs = cluster.mars.data_dir / "blobs"

    def copies() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in blobs.rglob("*") if path.is_file()}

    before = copies()
    assert before
    cluster.only("mars")
    deployment.scale(2)
    deployment.ready(2)
    cluster.only(cluster.here)
    (there,) = [row for row in deployment.replicas() if row["node"] == "mars"]
    locality = there["placement"]["locality"]
    assert locality["bytes"] == locality["of_bytes"] > 0
    assert copies() == before


def test_a_lost_node_is_replaced_and_nobody_waits(cluster, deployment, capsys):
    with Traffic(cluster.stack.url, cluster.site.token, deployment.model) as traffic:
        traffic.answered(10)
        lost = {row["id"] for row in deployment.replicas() if row["node"] == "mars"}
        assert lost
        cluster.mars.kill()
        begun = time.monotonic()

        def replaced() -> bool:
            rows = [row for row in deployment.replicas() if row["id"] not in lost]
            return len(rows) == 2 and all(row["node"] == cluster.here for row in rows)

        until(replaced, "a substitute serves")
        took = time.monotonic() - begun
        traffic.answered(20)
    assert traffic.failed == []
    with capsys.disabled():
        print(f"\nscaling: a substitute served {took:.1f} s after the node was killed")
    deployment.ready(2)


def test_it_sleeps_and_the_next_call_wakes_it(cluster, deployment, capsys):
    deployment.scale(1, for_s=0)
    until(lambda: not deployment.replicas(""), "it sleeps")
    assert deployment.api.get(deployment.path)["status"] == "asleep"
    assert deployment.events()[0][1:] == (0, "idle")

    begun = time.monotonic()
    traffic = Traffic(cluster.stack.url, cluster.site.token, deployment.model)
    answer = traffic.client.completions.create(model=deployment.model, prompt="the", max_tokens=3)
    took = time.monotonic() - begun
    traffic.client.close()
    assert answer.choices[0].text
    assert deployment.events()[0] == (0, 1, "wake")
    rows = until(lambda: deployment.api.get(f"{deployment.path}/requests")["results"], "a record")
    assert rows[0]["status"] == 200
    with capsys.disabled():
        print(f"\nscaling: awake and answered after {took:.1f} s; record: {rows[0]}")
