"""A second machine joins with one command: trainings there, and on from one machine to the other.

Both run here, with folders of their own: nothing but HTTP, the database and Redis joins them.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from benchmarks.running_stack import Stack
from benchmarks.second_machine import Machine
from tests.flows.site import TEAM, Site, until
from tests.waiting import WAIT_S

pytestmark = [pytest.mark.slow, pytest.mark.nodb]
long = pytest.mark.skipif("CHAOS" not in os.environ, reason="takes minutes: run `make chaos`")
LEASE = {"SLIPWAY_JOB_LEASE_S": "8", "SLIPWAY_JOB_HEARTBEAT_S": "1", "SLIPWAY_JOB_GRACE_S": "10",
         "SLIPWAY_MEASURE_SPEED": "0"}  # fmt: skip
#: Long enough to be broken in the middle, where it is.
STEPS = 60 if "CHAOS" in os.environ else 15
CONFIG: dict[str, Any] = {
    "preset": "gpt2-1m", "tokenizer": "bpe", "vocab_size": 512, "sequence_length": 64,
    "batch_size": 8, "steps": STEPS, "warmup_steps": 10, "log_every": 10, "evaluate_every": STEPS,
    "evaluation_batches": 2, "dropout": 0.1, "checkpoint_every": 5, "threads": 1, "seed": 5,
}  # fmt: skip


class OpenStack(Stack):
    """A console whose servers nodes can reach."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **LEASE, "SLIPWAY_CLUSTER_HOST": "127.0.0.1"}


class Cluster:
    """The console with its own worker, a person, an admin, and the machine `mars`."""

    def __init__(self, stack: Stack, machine: Machine) -> None:
        self.stack, self.mars = stack, machine
        self.site = Site(stack)
        self.api = self.site.api
        words = ["--user", "r@example.com", "--scope", "read,admin", "--name", "flow"]
        _, token = stack.manage(
            ["user_create", "--email", "r@example.com", "--name", "R", "--admin"],
            ["token_create", *words],
        )
        self.admin = type(self.api)(stack.url, token)
        self.here = next(node["name"] for node in self.admin.get("nodes"))

    def only(self, name: str) -> None:
        """New jobs go to this node."""
        for node in (self.here, "mars"):
            known = {row["name"]: row["state"] for row in self.admin.get("nodes")}
            if node in known and (known[node] == "cordoned") == (node == name):
                self.admin.post(f"nodes/{node}/{'un' if node == name else ''}cordon", {})

    def ready(self, name: str) -> None:
        def state() -> str:
            return {row["name"]: row["state"] for row in self.admin.get("nodes")}.get(name, "")

        until(lambda: state() == "ready", f"{name} is ready")

    def train(self, **changes: Any) -> dict[str, Any]:
        body = {
            "team": TEAM, "model": "sailor", "dataset_version": self.data["id"],
            "config": {**CONFIG, **changes},
        }  # fmt: skip
        return dict(self.api.post("training-runs", body))

    def runs_on(self, job_id: int, name: str) -> None:
        until(
            lambda: [
                row for row in self.api.get(f"jobs/{job_id}/attempts")
                if row["node_name"] == name and row["pid"] and not row["ended_at"]
            ],
            f"job {job_id} runs on {name}",
        )  # fmt: skip

    def saved(self, job_id: int, *, stored: bool) -> int:
        """Step of the newest checkpoint (that is in the store)."""
        with psycopg.connect(self.stack.addresses()["DATABASE_URL"]) as database:
            row = database.execute(
                "SELECT max(step) FROM jobs_checkpoint WHERE job_id = %s"
                " AND (NOT %s OR manifest <> '{}')",
                [job_id, stored],
            ).fetchone()
        return int(row[0] or 0) if row else 0

    def weights(self, run: dict[str, Any]) -> str:
        self.site.ended(run["job"])
        return str(self.api.get(run["url"])["manifest"]["model.safetensors"]["sha256"])

    def texts(self, job_id: int) -> list[str]:
        return [line[-1] for line in self.site.lines(job_id)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("con sole")
    stack = OpenStack(folder)
    (tmp_path_factory.getbasetemp() / "another machine").mkdir()
    folder_there = tmp_path_factory.getbasetemp() / "another machine" / "data"
    machine = Machine(folder_there, stack, settings=LEASE)
    try:
        stack.start()
        stack.wait_ready()
        found = Cluster(stack, machine)
        found.data = found.site.dataset()
        found.api.post("models", {"team": TEAM, "name": "sailor"})
        yield found
    finally:
        if machine.running():
            machine.stop()
        stack.stop()
        print(machine.said()[-4000:] if machine.process else "")
        print((folder / "up.log").read_text(errors="replace")[-4000:])


@pytest.fixture(scope="module")
def expected(cluster) -> str:
    """Digest of the weights that this training makes on the console's own machine."""
    return cluster.weights(cluster.train())


@pytest.fixture(scope="module")
def member(cluster, expected) -> Cluster:
    """The machine has joined with the one command."""
    words = ["join_token_create", "--note", "flow", "--label", "zone=b"]
    (text,) = cluster.stack.manage(words)
    cluster.mars.start(SLIPWAY_JOIN_URL=cluster.stack.url, SLIPWAY_JOIN_TOKEN=text.split()[0])
    cluster.ready("mars")
    return cluster


@pytest.fixture
def joined(member) -> Iterator[Cluster]:
    """It works; started again without address and token where an earlier test has ended it."""
    assert member.mars.process is not None
    if member.mars.process.poll() is not None:
        member.mars.start()
        member.ready("mars")
    yield member
    for node in member.admin.get("nodes"):
        if node["state"] == "cordoned":
            member.admin.post(f"nodes/{node['name']}/uncordon")


def test_joins_with_one_command_and_trains_the_same_weights(joined, expected):
    joined.only("mars")
    run = joined.train()
    joined.runs_on(run["job"], "mars")

    assert joined.weights(run) == expected
    # Its files lie on the console's disk, where everybody gets them.
    assert (joined.stack.data_dir / "blobs" / expected[:2] / expected[2:4] / expected).exists()
    node = next(row for row in joined.admin.get("nodes") if row["name"] == "mars")
    assert node["labels"]["zone"] == "b"
    assert (joined.mars.data_dir / "node.json").stat().st_mode & 0o777 == 0o600


@long
def test_goes_on_elsewhere_when_its_machine_is_lost(joined, expected):
    joined.only("mars")
    run = joined.train()
    joined.runs_on(run["job"], "mars")
    until(lambda: joined.saved(run["job"], stored=True) >= 10, "a checkpoint is in the store")
    joined.only(joined.here)
    joined.mars.kill()

    assert joined.weights(run) == expected
    fetched = [text for text in joined.texts(run["job"]) if "Fetched the checkpoint" in text]
    assert len(fetched) == 1
    nodes = [row["node_name"] for row in joined.api.get(f"jobs/{run['job']}/attempts")]
    assert nodes == ["mars", joined.here]


@long
def test_gives_its_work_back_politely(joined, expected):
    joined.only("mars")
    run = joined.train()
    joined.runs_on(run["job"], "mars")
    until(lambda: joined.saved(run["job"], stored=False) >= 10, "a checkpoint")
    joined.only(joined.here)
    assert joined.mars.stop() == 0
    left_at = joined.saved(run["job"], stored=False)

    # The polite end waited for the newest one.
    assert joined.saved(run["job"], stored=True) == left_at
    assert joined.weights(run) == expected
    assert any(f"Fetched the checkpoint of step {left_at}" in t for t in joined.texts(run["job"]))


@long
def test_fetches_what_was_saved_on_the_console_s_own_disk(joined, expected):
    joined.only(joined.here)
    run = joined.train()
    until(lambda: joined.saved(run["job"], stored=False) >= 10, "a checkpoint")
    assert joined.saved(run["job"], stored=True) == 0  # nothing is sent where the disk is shared
    joined.api.post(f"jobs/{run['job']}/pause")
    until(lambda: joined.api.get(f"jobs/{run['job']}")["state"] == "paused", "it pauses")
    joined.only("mars")
    joined.api.post(f"jobs/{run['job']}/resume")

    assert joined.weights(run) == expected
    assert any("Fetched the checkpoint" in text for text in joined.texts(run["job"]))
    nodes = [row["node_name"] for row in joined.api.get(f"jobs/{run['job']}/attempts")]
    assert nodes == [joined.here, "mars"]


@long
def test_trains_on_both_machines_at_once_and_goes_on_after_the_loss_of_one(joined):
    data = json.dumps({"private_network": True}).encode()
    joined.admin._call("PATCH", "pools/default", data, {"Content-Type": "application/json"})
    both = {"processes": 2, "nodes": 2}
    expected = joined.weights(joined.train(**both))
    run = joined.train(**both)
    parts = until(lambda: joined.api.get(f"jobs/{run['job']}/parts"), "it has its places")
    assert sorted(part["node_name"] for part in parts) == sorted(["mars", joined.here])
    until(lambda: joined.saved(run["job"], stored=False) >= 10, "a checkpoint")
    joined.mars.kill()
    why = f"jobs/{run['job']}/why"
    until(lambda: "1 is there" in joined.api.get(why)["why"], "it waits for the other machine")
    joined.mars.start()

    assert joined.weights(run) == expected
    # Whichever machine had written it, both went on from the same checkpoint.
    assert any("Going on from checkpoint" in text for text in joined.texts(run["job"]))


@long
def test_serves_models_that_the_gateway_reaches(joined, expected):
    joined.only("mars")
    version = joined.api.get("model-versions", team=TEAM)["results"][0]
    deployment = joined.api.post(
        "deployments", {"team": TEAM, "name": "sailor", "environment": "development"}
    )
    spec = {"replicas": 1, "threads": 1, "max_slots": 4}
    body = {"model_version": version["id"], "spec": spec, "reason": "flow"}
    joined.api.post(f"deployments/{deployment['id']}/revisions", body)

    def answered() -> Any:
        import urllib.request

        asked = urllib.request.Request(
            f"{joined.stack.url}/v1/completions",
            data=json.dumps(
                {"model": deployment["model"], "prompt": "the ship", "max_tokens": 4}
            ).encode(),
            headers={
                "Authorization": f"Bearer {joined.site.token}", "Content-Type": "application/json",
            },
        )  # fmt: skip
        try:
            with urllib.request.urlopen(asked, timeout=WAIT_S) as answer:
                return json.load(answer)
        except OSError:
            return None

    assert until(answered, "it answers")["usage"]["completion_tokens"] == 4


def test_a_removed_node_may_not_come_back_by_itself(joined):
    assert joined.mars.stop() == 0
    until(
        lambda: {r["name"]: r["state"] for r in joined.admin.get("nodes")}["mars"] != "ready",
        "it is gone",
    )
    joined.admin._call("DELETE", "nodes/mars")
    joined.mars.start()
    assert joined.mars.process is not None

    assert joined.mars.process.wait(60) == 1
    assert "Join again with a new token" in joined.mars.said()
