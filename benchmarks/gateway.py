"""What the gateway costs a request: CPU of its process, against the same upstream called directly.

    python manage.py services -- python benchmarks/gateway.py [--litellm VENV]

`--litellm` names a virtual environment with `litellm[proxy]`: one process of it, with a master key
and nothing else, in front of the same upstream. Needs DATABASE_URL and REDIS_URL (real servers).
Makes a database of its own and drops it. Prints JSON lines; ends with 1 if a goal is missed. Key
check, grant and request records are on.
"""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
NAME = "slipway_bench_gateway"
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
MODEL = "bench/chat"
#: The same upstream behind a deployment that keeps answers.
KEPT = "bench/kept"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Where is my parcel? " * 10}]}
CHUNKS = 100
PACE_S = 0.005

# ---- the upstream: `python benchmarks/gateway.py --upstream PORT` ---------------------------

FRAME = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
USAGE = {"prompt_tokens": 52, "completion_tokens": CHUNKS, "total_tokens": 52 + CHUNKS}


def event(body: dict) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


WHOLE = json.dumps(
    {
        **FRAME,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It is on its way. " * 12},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
).encode()
#: Each with the comment that says which tokens it stands for, as model servers write it.
EVENTS = [
    b": 0 %d\n" % (1000 + number)
    + event({**FRAME, "choices": [{"index": 0, "delta": {"content": " word"}}], "usage": USAGE})
    for number in range(CHUNKS)
]
LAST = event({**FRAME, "choices": [], "usage": USAGE}) + b"data: [DONE]\n\n"


async def upstream(scope, receive, send) -> None:
    """Answers at once; streams one event each 5 ms."""
    if scope["path"] == "/health":
        body = b'{"state":"ready","running":0,"waiting":0,"slots":512,"adapters":[]}'
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    stream = json.loads(body or b"{}").get("stream")
    kind = b"text/event-stream" if stream else b"application/json"
    headers = [(b"content-type", kind)]
    if not stream:
        headers.append((b"content-length", b"%d" % len(WHOLE)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if stream:
        due = time.monotonic()
        for data in EVENTS:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            due += PACE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    await send({"type": "http.response.body", "body": LAST if stream else WHOLE})


# ---- the load -------------------------------------------------------------------------------


class Load:
    """`concurrency` connections that send `number` requests and read every byte."""

    def __init__(self, port: int, key: str, body: dict, concurrency: int, number: int) -> None:
        raw = json.dumps(body).encode()
        self.port, self.concurrency, self.number = port, concurrency, number
        self.stream = bool(body.get("stream"))
        self.request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        ).encode() + raw
        self.seconds: list[float] = []
        self.first: list[float] = []
        self.statuses: set[int] = set()

    async def run(self) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(self._connection() for _ in range(self.concurrency)))
        return time.perf_counter() - began

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while self.number > 0:
            self.number -= 1
            began = time.perf_counter()
            writer.write(self.request)
            head = await reader.readuntil(b"\r\n\r\n")
            self.statuses.add(int(head[9:12]))
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if length:
                await reader.readexactly(int(length))
            else:
                data = await reader.read(65536)
                self.first.append(time.perf_counter() - began)
                while not data.endswith(b"0\r\n\r\n"):
                    data = data[-8:] + await reader.read(65536)
            self.seconds.append(time.perf_counter() - began)
        writer.close()


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def cpu_ms(pid: int) -> float:
    """CPU time of a process and its children so far, all their threads."""
    used = 0.0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) * TICK_MS
    return used


async def measure(what: str, pid: int, load: Load, goal: float | None = None) -> dict:
    number, before = load.number, cpu_ms(pid)
    took = await load.run()
    used = (cpu_ms(pid) - before) / number
    ordered = sorted(load.seconds)
    result = {
        "what": what,
        "c": load.concurrency,
        "requests": number,
        "status": sorted(load.statuses),
        "cpu_ms": round(used, 3),
        "p50_ms": round(statistics.median(ordered) * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
        "per_s": round(number / took, 1),
    }
    if load.first:
        result["first_ms"] = round(statistics.median(load.first) * 1000, 2)
    if goal is not None:
        result["goal_cpu_ms"], result["met"] = goal, used <= goal
    print(json.dumps(result), flush=True)
    return result


# ---- processes and rows ---------------------------------------------------------------------


@contextlib.contextmanager
def process(
    *command: str, port: int, environment: dict[str, str], python: str = sys.executable
) -> Iterator[int]:
    """A child that listens on the port; its id. Killed at the end."""
    child = subprocess.Popen([python, *command], cwd=ROOT, env=environment)
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if child.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command} did not start")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(15)
        child.kill()
        child.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@contextlib.contextmanager
def database(url: str) -> Iterator[str]:
    """A fresh database beside the given one."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
        try:
            yield urlsplit(url)._replace(path=f"/{NAME}").geturl()
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def rows(port: int) -> str:
    """Tables, a deployment whose replica is the upstream, and a key for it."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from console.access.models import ApiToken, Membership, Team, User
    from console.access.tokens import token_secret
    from models_app.approvals.models import Environment
    from models_app.configs.models import Config, ConfigRevision
    from models_app.deployments.models import Deployment, Replica, Revision
    from models_app.registry.models import Model, ModelVersion

    team = Team.objects.create(slug="bench", title="Bench")
    user = User.objects.create_user("bench@example.com", name="Bench")
    Membership.objects.create(user=user, team=team, role="viewer")
    environment, _ = Environment.objects.get_or_create(name="bench")
    config = Config.objects.create(team=team, kind="serving", name="bench")
    model = Model.objects.create(team=team, name="bench")
    version = ModelVersion.objects.create(model=model, number=1)
    for number, (name, more) in enumerate((("chat", {}), ("kept", {"response_cache_s": 600})), 1):
        deployment = Deployment.objects.create(team=team, name=name, environment=environment)
        deployment.active_revision = Revision.objects.create(
            deployment=deployment,
            number=1,
            state="active",
            model_version=version,
            config_revision=ConfigRevision.objects.create(
                config=config,
                number=number,
                spec={"max_slots": 512, **more},
                digest=f"{number:064d}",
            ),
            digest=f"{number:064d}",
        )
        deployment.save()
        Replica.objects.create(
            revision=deployment.active_revision, state="ready", host="127.0.0.1", port=port, epoch=1
        )
    text, prefix, digest = token_secret()
    ApiToken.objects.create(user=user, name="b", prefix=prefix, digest=digest, scopes=["infer"])
    return text


async def bench(up: tuple[int, int], gate: tuple[int, int], key: str, number: int) -> list[dict]:
    (up_port, up_pid), (gate_port, gate_pid) = up, gate
    stream = {**CHAT, "stream": True}
    wrong = "slip_" + "x" * 43
    await Load(gate_port, key, CHAT, 16, 500).run()
    await Load(up_port, key, CHAT, 16, 500).run()
    found = []
    for c in (1, 16):
        direct = await measure("upstream directly", up_pid, Load(up_port, key, CHAT, c, number))
        whole = Load(gate_port, key, CHAT, c, number)
        found.append(await measure("gateway", gate_pid, whole, goal=0.6 if c > 1 else None))
        added = round(found[-1]["p50_ms"] - direct["p50_ms"], 2)
        print(json.dumps({"what": "gateway adds", "c": c, "p50_ms": added}), flush=True)
    found.append(
        await measure("wrong key", gate_pid, Load(gate_port, wrong, CHAT, 16, number), goal=0.3)
    )
    kept = {**CHAT, "model": KEPT, "temperature": 0}
    await Load(gate_port, key, kept, 1, 1).run()
    await asyncio.sleep(0.2)
    load = Load(gate_port, key, kept, 16, number)
    found.append(await measure("gateway, kept answer", gate_pid, load, goal=1.0))
    for c, goal in ((8, 9.0), (64, None)):
        await measure("upstream stream", up_pid, Load(up_port, key, stream, c, c * 12))
        load = Load(gate_port, key, stream, c, c * 12)
        found.append(await measure("gateway stream", gate_pid, load, goal=goal))
    return found


async def bench_litellm(port: int, pid: int, key: str, number: int) -> list[dict]:
    """The same loads through LiteLLM: fewer, since each takes longer."""
    await Load(port, key, CHAT, 4, 30).run()
    found = []
    for c in (1, 16):
        load = Load(port, key, CHAT, c, max(60, number // 10))
        found.append(await measure("litellm", pid, load))
    stream = {**CHAT, "stream": True}
    found.append(await measure("litellm stream", pid, Load(port, key, stream, 8, 24)))
    return found


def compare(gateway: list[dict], litellm: list[dict]) -> list[dict]:
    """CPU of the gateway as a part of LiteLLM's, in the same run on the same machine."""
    used = {(r["what"], r["c"]): r["cpu_ms"] for r in gateway + litellm}
    found = []
    for what, c, goal in (("", 16, 1 / 18), (" stream", 8, 9 / 77)):
        ratio = used["gateway" + what, c] / used["litellm" + what, c]
        result = {"what": f"gateway{what} / litellm{what}", "c": c, "ratio": round(ratio, 3)}
        found.append({**result, "goal": round(goal, 3), "met": ratio <= goal})
        print(json.dumps(found[-1]), flush=True)
    return found


@contextlib.contextmanager
def litellm(venv: str, up_port: int, key: str) -> Iterator[tuple[int, int]]:
    """LiteLLM's proxy in front of the upstream: (port, process)."""
    import tempfile

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "litellm.yaml"
        place = {"model": "openai/bench", "api_base": f"http://127.0.0.1:{up_port}/v1"}
        model = {"model_name": MODEL, "litellm_params": {**place, "api_key": "none"}}
        # JSON is YAML.
        general = {"master_key": f"sk-{key}"}
        config.write_text(json.dumps({"model_list": [model], "general_settings": general}))
        environment = {
            "PATH": f"{venv}/bin:{os.environ['PATH']}",
            "HOME": folder,
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        command = (f"{venv}/bin/litellm", "--config", str(config), "--num_workers", "1")
        with process(
            *command,
            *("--host", "127.0.0.1", "--port", str(port)),
            port=port,
            environment=environment,
            python=f"{venv}/bin/python",
        ) as pid:
            yield port, pid


def check_records(expected: int) -> None:
    """Every call has left its row."""
    from models_app.deployments.models import RequestRecord

    until = time.monotonic() + 10
    while (count := RequestRecord.objects.count()) < expected and time.monotonic() < until:
        time.sleep(0.1)
    tokens = RequestRecord.objects.filter(completion_tokens=CHUNKS).count()
    print(json.dumps({"records": count, "expected": expected, "with_tokens": tokens}))
    if count != expected or tokens != expected:
        raise SystemExit("request records are missing")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--litellm", metavar="VENV", help="measure LiteLLM in the same run")
    parser.add_argument("--upstream", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream:
        import uvicorn

        uvicorn.run(upstream, port=options.upstream, log_level="warning", access_log=False)
        return 0
    os.environ.setdefault("SECRET_KEY", secrets.token_hex(16))
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings.web"
    with database(os.environ["DATABASE_URL"]) as url:
        os.environ["DATABASE_URL"] = url
        environment, up_port, gate_port = dict(os.environ), free_port(), free_port()
        key = rows(up_port)
        server = ("-m", "uvicorn", "console.gateway.asgi:application", "--log-level", "warning")
        with (
            process(
                __file__, "--upstream", str(up_port), port=up_port, environment=environment
            ) as up_pid,
            process(
                *server, "--port", str(gate_port), port=gate_port, environment=environment
            ) as gate_pid,
        ):
            found = asyncio.run(
                bench((up_port, up_pid), (gate_port, gate_pid), key, options.requests)
            )
            check_records(501 + sum(r["requests"] for r in found if r["status"] == [200]))
            if options.litellm:
                with litellm(options.litellm, up_port, key) as (port, pid):
                    theirs = asyncio.run(bench_litellm(port, pid, f"sk-{key}", options.requests))
                    found += compare(found, theirs)
        from django.db import connections

        connections.close_all()
    return 0 if all(result.get("met", True) for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
