"""Registry operations in CPU milliseconds of the server, beside a real MLflow server.

    python -m venv /tmp/mlflow && /tmp/mlflow/bin/pip install mlflow==3.17.2 psycopg2-binary
    python manage.py services --temporary -- python benchmarks/registry.py --mlflow /tmp/mlflow

One web process of ours, as the launcher starts it, with authentication by token, permissions, audit
and live events; one `mlflow server --workers 1` without any of these, its jobs switched off. Both
on databases of the same PostgreSQL, whose CPU is in neither figure. One request at a time over one
connection. Prints JSON lines; ends with 1 where a goal is missed. Without --mlflow only ours.
"""

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from log_stage import cpu_s, database, free_port, say, web

#: operation -> (most CPU-ms, most bytes of the answer)
GOALS = {
    "create version": (7.0, None),
    "list 50 versions": (5.0, None),
    "log 100 metrics": (3.0, None),
    "chart of 10,000 points": (5.0, 40 * 1024),
}
POINTS = 10_000
V1 = "/api/v1"
ML = "/api/2.0/mlflow"


class Client:
    """Requests over one connection, as stock clients with a session make them."""

    def __init__(self, port: int, token: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = {"Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[Any, int]:
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, self.headers)
        answer = self.connection.getresponse()
        raw = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.status} {raw[:300]!r}")
        return (json.loads(raw) if raw else None), len(raw)


def tree_cpu_s(pid: int) -> float:
    """CPU of a process and everything it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_s(pid) + sum(tree_cpu_s(int(child)) for child in children)


def timed(pid: int, times: int, call: Callable[[int], int]) -> dict[str, float]:
    """CPU-ms and wall ms of a call, after some for warming up; bytes of its answer."""
    for n in range(5):
        call(-1 - n)
    begun, cpu, took = time.perf_counter(), tree_cpu_s(pid), []
    for n in range(times):
        one = time.perf_counter()
        size = call(n)
        took.append((time.perf_counter() - one) * 1000)
    used = (tree_cpu_s(pid) - cpu) * 1000 / times
    return {"cpu_ms": round(used, 2), "p50_ms": round(sorted(took)[times // 2], 1),
            "bytes": size, "requests": times,
            "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


def points(step: int, count: int = 100) -> list[dict[str, Any]]:
    return [
        {"name": f"metric_{n % 10}", "step": step * 10 + n // 10, "value": 3.0 + n / 7}
        for n in range(count)
    ]


def token_of_ours() -> str:
    from console.access.models import Membership, Team, User
    from console.access.services import token_create

    team = Team.objects.create(slug="bench", title="Bench")
    user = User.objects.create_user("bench@example.com", "a long password", name="Bench")
    Membership.objects.create(user=user, team=team, role="developer")
    made: Any = token_create(
        actor=user, name="bench", scopes=["read", "write"], team=team, expires_in_days=3
    )
    return str(made[1] if isinstance(made, tuple) else made.secret)


def furnish() -> None:
    """The versions get files, facts and figures, as those of trainings have."""
    from models_app.registry.models import ModelVersion

    names = ("config.json", "model.safetensors", "tokenizer.json", "generation_config.json")
    facts = {"parameters": 1_048_576, "layers": 4, "width": 128, "heads": 4, "context": 256,
             "vocab_size": 4096, "model_type": "gpt2", "tokenizer": "bpe"}  # fmt: skip
    metrics = {f"figure_{n}": n / 7 for n in range(12)}
    ModelVersion.objects.update(
        manifest={name: {"sha256": "ab" * 32, "size": 4_194_304} for name in names},
        facts=facts, metrics=metrics, digest="cd" * 32, size_bytes=4_200_000,
    )  # fmt: skip


def ours(times: int) -> dict[str, dict[str, float]]:
    token = token_of_ours()
    with web() as (port, pid):
        client = Client(port, token)
        model, _ = client.ask("POST", f"{V1}/models", {"team": "bench", "name": "poet"})
        run, _ = client.ask("POST", f"{V1}/training-runs/external",
                            {"team": "bench", "name": "elsewhere"})  # fmt: skip
        chart, _ = client.ask("POST", f"{V1}/training-runs/external",
                              {"team": "bench", "name": "long"})  # fmt: skip
        for first in range(0, POINTS, 1000):
            rows = [{"name": "loss", "step": first + n, "value": 9 / (1 + first + n) + n % 17 / 1e3}
                    for n in range(1000)]  # fmt: skip
            client.ask("POST", f"{V1}/training-runs/{chart['id']}/metrics", {"points": rows})
        versions = f"{V1}/models/{model['id']}/versions"
        body = {"run": run["id"]}
        made = timed(pid, times, lambda n: client.ask("POST", versions, body)[1])
        furnish()
        return {
            "create version": made,
            "list 50 versions": timed(
                pid, times, lambda n: client.ask("GET", f"{versions}?page_size=50")[1]
            ),
            "log 100 metrics": timed(
                pid, times,
                lambda n: client.ask("POST", f"{V1}/training-runs/{run['id']}/metrics",
                                     {"points": points(n + 5)})[1],
            ),
            "chart of 10,000 points": timed(
                pid, times,
                lambda n: client.ask("GET", f"{V1}/jobs/{chart['id']}/metrics?name=loss")[1],
            ),
        }  # fmt: skip


@contextlib.contextmanager
def mlflow_server(venv: Path) -> Iterator[tuple[int, int]]:
    """(port, pid) of a stock server on a database of its own."""
    import psycopg

    url, name, port = os.environ["DATABASE_URL"], "slipway_bench_mlflow", free_port()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
        store = urlsplit(url)._replace(scheme="postgresql+psycopg2", path=f"/{name}").geturl()
        command = [str(venv / "bin" / "mlflow"), "server", "--backend-store-uri", store,
                   "--artifacts-destination", str(venv / "artifacts"), "--host", "127.0.0.1",
                   "--port", str(port), "--workers", "1"]  # fmt: skip
        kept = {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "HOME": str(venv)}
        off = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "1",
               "MLFLOW_DISABLE_TELEMETRY": "true"}  # fmt: skip
        with (venv / "server.log").open("wb") as log:
            process = subprocess.Popen(command, env={**kept, **off}, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 180
            while time.monotonic() < until:
                with contextlib.suppress(OSError, SystemExit):
                    Client(port).ask("GET", f"{ML}/experiments/get?experiment_id=0")
                    break
                time.sleep(0.5)
            else:
                raise SystemExit(f"mlflow does not answer, see {venv / 'server.log'}")
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(30)
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def theirs(venv: Path, times: int) -> dict[str, dict[str, float]]:
    with mlflow_server(venv) as (port, pid):
        client = Client(port)
        now = int(time.time() * 1000)

        def run_of() -> str:
            body = {"experiment_id": "0", "start_time": now}
            return str(client.ask("POST", f"{ML}/runs/create", body)[0]["run"]["info"]["run_id"])

        def batch(run: str, rows: list[dict[str, Any]]) -> int:
            metrics = [{"key": r["name"], "value": r["value"], "step": r["step"], "timestamp": now}
                       for r in rows]  # fmt: skip
            body = {"run_id": run, "metrics": metrics}
            return client.ask("POST", f"{ML}/runs/log-batch", body)[1]

        client.ask("POST", f"{ML}/registered-models/create", {"name": "poet"})
        run, chart = run_of(), run_of()
        for first in range(0, POINTS, 1000):
            batch(chart, [{"name": "loss", "step": first + n, "value": 9 / (1 + first + n)}
                          for n in range(1000)])  # fmt: skip
        body = {"name": "poet", "source": f"mlflow-artifacts:/0/{run}/artifacts/m", "run_id": run}
        search = f"{ML}/model-versions/search?filter=name%3D%27poet%27&max_results=50"
        history = f"{ML}/metrics/get-history?run_id={chart}&metric_key=loss"
        return {
            "create version": timed(
                pid, times, lambda n: client.ask("POST", f"{ML}/model-versions/create", body)[1]
            ),
            "list 50 versions": timed(pid, times, lambda n: client.ask("GET", search)[1]),
            "log 100 metrics": timed(pid, times, lambda n: batch(run, points(n + 5))),
            "chart of 10,000 points": timed(
                pid, max(10, times // 10), lambda n: client.ask("GET", history)[1]
            ),
        }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlflow", type=Path, help="a virtual environment with mlflow")
    parser.add_argument("--times", type=int, default=300)
    options = parser.parse_args()
    with database():
        found = ours(options.times)
        other = theirs(options.mlflow, options.times) if options.mlflow else {}
    met = True
    for name, (most_ms, most_bytes) in GOALS.items():
        figures = found[name]
        good = figures["cpu_ms"] <= most_ms and (
            most_bytes is None or figures["bytes"] <= most_bytes
        )
        met = met and good
        base = other.get(name, {})
        say(
            what=name, **figures, goal_cpu_ms=most_ms, met=good, baseline="mlflow",
            baseline_cpu_ms=base.get("cpu_ms"), baseline_bytes=base.get("bytes"),
            ratio=round(base["cpu_ms"] / figures["cpu_ms"], 1) if base else None,
        )  # fmt: skip
    say(metric="registry", baseline="mlflow server 3.x", met=met)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
