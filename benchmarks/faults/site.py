"""Two machines, two gateways, one deployment with two revisions that answer differently."""

import contextlib
import datetime as dt
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg

from benchmarks.running_stack import Stack, running_stack
from benchmarks.second_machine import Machine
from console.demo.client import Client

TEAM = "faults"
GIVE_UP_S = 240.0
_ANA = ["--email", "ana@example.com"]
_ROOT = ["--email", "root@example.com"]
_OVER = {"succeeded", "failed", "canceled", "timed_out"}
#: A real model, as small as one can be that has a text to tell.
TRAINING: dict[str, Any] = {
    "architecture": {
        "model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2,
        "activation_function": "gelu", "tie_word_embeddings": True,
    },
    "tokenizer": "bpe", "vocab_size": 512, "sequence_length": 512,
    "batch_size": 2, "steps": 30, "warmup_steps": 5, "log_every": 10, "evaluate_every": 0,
    "threads": 1,
}  # fmt: skip
#: So many replicas as are asked for by hand, up to three; the load alone never changes that.
SPEC: dict[str, Any] = {
    "replicas": 2, "threads": 1, "max_slots": 16, "max_replicas": 3, "min_replicas": 1,
    "target_requests": 512, "scale_down_after_s": 30, "queue_limit": 256, "keep_warm_s": 60,
}  # fmt: skip


def until(check: Callable[[], Any], what: str, timeout_s: float = GIVE_UP_S) -> Any:
    """Poll until `check` gives something true; SystemExit if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.4)
    raise SystemExit(f"{what}: not within {timeout_s:.0f} s")


class Site:
    """A running stack and a second machine, through the public API and a hand that kills."""

    def __init__(self, stack: "Gateways", there: Machine | None) -> None:
        self.stack, self.there = stack, there
        scopes = ["--scope", "read,infer,write,deploy", "--name", "faults"]
        said = stack.manage(
            ["team_create", TEAM],
            ["user_create", *_ANA, "--name", "Ana", "--team", TEAM, "--role", "admin"],
            ["token_create", "--user", _ANA[1], *scopes],
            ["user_create", *_ROOT, "--name", "Root", "--admin"],
            ["token_create", "--user", _ROOT[1], "--scope", "read,admin", "--name", "faults"],
        )
        self.token = said[2]
        self.api, self.admin = Client(stack.url, said[2]), Client(stack.url, said[4])
        self.path = self.model = ""

    # ---- what is served ----

    def trained(self, text: bytes, seeds: tuple[int, ...]) -> list[int]:
        """Versions of one model, one for each seed."""
        data = self.api.post("datasets", {"team": TEAM, "name": "text"})
        path = f"datasets/{data['id']}/versions"
        made = self.api.upload(path, {"seed": 1}, "text.jsonl", text)
        self.ended(made["job"])
        self.api.post("models", {"team": TEAM, "name": "teller"})
        body = {"team": TEAM, "model": "teller", "dataset_version": made["id"]}
        runs = [
            self.api.post("training-runs", {**body, "config": {**TRAINING, "seed": seed}})
            for seed in seeds
        ]
        for run in runs:
            self.ended(run["job"])
        return [self.api.get(run["url"])["id"] for run in runs]

    def ended(self, job_id: int) -> None:
        """Wait for a good end of a job."""
        job = until(
            lambda: (row := self.api.get(f"jobs/{job_id}"))["state"] in _OVER and row,
            f"job {job_id} ends",
        )
        if job["state"] != "succeeded":
            raise SystemExit(f"job {job_id}: {job['state']}, {job.get('error')}")

    def deployment(self, name: str) -> None:
        """The deployment that everything else is about."""
        body = {"team": TEAM, "name": name, "environment": "development"}
        row = self.api.post("deployments", body)
        self.path, self.model = f"deployments/{row['id']}", row["model"]

    def revision(self, version: int) -> int:
        """Have a revision of this version rolled out; its number."""
        body = {"model_version": version, "spec": SPEC, "reason": "faults"}
        return int(self.api.post(f"{self.path}/revisions", body)["number"])

    def serves(self, number: int, replicas: int) -> dict[str, Any]:
        """Wait until the revision is active with so many ready replicas; its row."""

        def ready() -> dict[str, Any] | None:
            row = self.api.get(f"{self.path}/revisions/{number}")
            if row["state"] == "failed":
                raise SystemExit(f"revision {number} failed: {row['error']}")
            there = len(self.replicas(number)) == replicas
            return dict(row) if row["state"] == "active" and there else None

        return dict(until(ready, f"revision {number} serves with {replicas}"))

    def replicas(self, number: int = 0, state: str = "ready") -> list[dict[str, Any]]:
        """Rows of the replicas, of one revision or of all."""
        rows = self.api.get(f"{self.path}/replicas")
        rows = rows["results"] if isinstance(rows, dict) else rows
        fits = [row for row in rows if not number or row["revision"] == number]
        return [row for row in fits if not state or row["state"] == state]

    def scaled(self, number: int, count: int) -> None:
        """By hand to so many, and wait until this revision has that many and no more."""
        self.api.post(f"{self.path}/scale", {"replicas": count, "for_s": 3600})
        until(
            lambda: len(self.replicas(number)) == len(self.replicas(number, "")) == count,
            f"{count} replicas",
        )

    def asked(self) -> bool:
        """Whether the gateway answers for the deployment."""
        body = json.dumps({"model": self.model, "prompt": "the", "max_tokens": 1}).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        asked = Request(f"{self.stack.gateway_url}/v1/completions", data=body, headers=headers)
        try:
            with urlopen(asked, timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def records(self, since: dt.datetime, before: dt.datetime) -> dict[str, int]:
        """Of the calls that ended in this time: streams that another replica went on with, and
        calls that were asked of another replica before their first byte.
        """
        with psycopg.connect(self.stack.addresses()["DATABASE_URL"]) as database:
            row = database.execute(
                "SELECT count(*) FILTER (WHERE resumes > 0), count(*) FILTER (WHERE retries > 0)"
                " FROM deployments_requestrecord WHERE at >= %s AND at < %s",
                [since, before],
            ).fetchone()
        assert row is not None
        return {"resumed": row[0], "moved": row[1]}

    # ---- processes ----

    def pids(self) -> dict[str, int]:
        """The launcher's children."""
        text = (self.stack.data_dir / "run" / "children.json").read_text()
        return {name: int(child[0]) for name, child in json.loads(text).items()}

    def replica_process(self, number: int) -> tuple[int, int]:
        """(id of a ready replica, id of its process)."""
        row = self.replicas(number)[0]
        return row["id"], self.api.get(f"jobs/{row['job']}/attempts")[-1]["pid"]

    def kill_gateway(self) -> tuple[str, int]:
        """Kill -9 the gateway that has more connections; its name and its process id."""
        pids = {n: pid for n, pid in self.pids().items() if n.startswith("gateway")}
        busier = max(pids, key=lambda name: len(list(Path(f"/proc/{pids[name]}/fd").iterdir())))
        os.kill(pids[busier], signal.SIGKILL)
        return busier, pids[busier]

    def started_again(self, name: str, pid: int) -> None:
        """Wait until a process of the launcher has another id than this one, and runs."""
        until(lambda: self.pids().get(name, pid) != pid, f"{name} is started again")

    def node_ready(self, name: str) -> None:
        """Wait until a node takes jobs."""
        until(
            lambda: any(
                row["name"] == name and row["state"] == "ready" for row in self.admin.get("nodes")
            ),
            f"{name} is ready",
        )  # fmt: skip


class Gateways(Stack):
    """A stack whose gateways share a port of their own."""

    patience_s = 400.0

    @property
    def gateway_port(self) -> int:
        """Where `/v1` is."""
        return self.port + 1

    @property
    def gateway_url(self) -> str:
        """The same as an address."""
        return f"http://127.0.0.1:{self.gateway_port}"

    def gateway_ready(self) -> bool:
        """Whether one of them answers."""
        link = http.client.HTTPConnection("127.0.0.1", self.gateway_port, timeout=2)
        try:
            link.request("GET", "/healthz")
            return link.getresponse().status == 200
        except OSError:
            return False
        finally:
            link.close()


@contextlib.contextmanager
def running_site(*, gateways: int = 2, two_machines: bool = True) -> Iterator[Site]:
    """Everything, on empty folders; stopped and gone afterwards."""
    settings = {
        "SLIPWAY_CLUSTER_HOST": "127.0.0.1",
        "SLIPWAY_GATEWAYS": str(gateways),
        "SLIPWAY_SPLIT_GATEWAY": "1",
    }
    with running_stack(environment=settings, kind=Gateways) as stack:
        assert isinstance(stack, Gateways)
        until(stack.gateway_ready, "a gateway answers")
        folder = stack.data_dir / "another machine"
        (folder / "data").mkdir(parents=True)
        there = Machine(folder / "data", stack) if two_machines else None
        site = Site(stack, there)
        try:
            if there is not None:
                token = site.admin.post("join-tokens", {"note": there.name})["token"]
                there.start(SLIPWAY_JOIN_URL=stack.url, SLIPWAY_JOIN_TOKEN=token)
                site.node_ready(there.name)
            yield site
        finally:
            if there is not None and there.running():
                there.stop()
