"""For benchmarks of the gateway: model servers that only pass time, a gateway before them, callers.

A model server here has slots, a short line, a time per token read and written, and remembers which
beginnings of prompts it has read, as a real one does. `python benchmarks/fleet.py --replica PORT`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.gateway import database, free_port, process  # noqa: E402

BYTES_PER_TOKEN = 4
BLOCK = 256


class PassingTime:
    """A model server without a model: ASGI."""

    def __init__(self, slots: int, token_s: float, waiting: int) -> None:
        self.slots = slots
        self.token_s = token_s
        self.free = asyncio.Semaphore(slots)
        self.waiting = 0
        self.most_waiting = waiting
        self.read: set[str] = set()
        self.running = 0

    async def __call__(self, scope, receive, send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/health":
            await _answer(send, 200, {"state": "ready", "slots": self.slots, "adapters": []})
        elif self.waiting >= self.most_waiting:
            await _answer(send, 429, {"error": {"code": "queue_full", "message": "full"}})
        else:
            await self._compute(json.loads(body), receive, send)

    async def _compute(self, asked: dict, receive, send) -> None:
        began = time.monotonic()
        self.waiting += 1
        gone = asyncio.ensure_future(receive())  # the next message is that the caller left
        try:
            try:
                await self.free.acquire()
            finally:
                self.waiting -= 1
            try:
                queued = time.monotonic() - began
                prompt, cached = self._reading(asked)
                written = int(asked.get("max_tokens", 50))
                seconds = ((prompt - cached) * 0.1 + written) * self.token_s
                done, _ = await asyncio.wait([gone], timeout=seconds)
                if done:
                    return
            finally:
                self.free.release()
        finally:
            gone.cancel()
        usage = {"prompt_tokens": prompt, "completion_tokens": written}
        choice = {"index": 0, "message": {"role": "assistant", "content": "word " * written}}
        await _answer(
            send,
            200,
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": asked["model"],
                "choices": [{**choice, "finish_reason": "length", "logprobs": None}],
                "usage": usage,
            },
            (b"x-slipway-queue-ms", b"%d" % (queued * 1000)),
            (b"x-slipway-cached-tokens", b"%d" % cached),
        )

    def _reading(self, asked: dict) -> tuple[int, int]:
        """(tokens of the prompt, of those read before)."""
        text = "".join(m["content"] for m in asked["messages"])
        begins = [text[:end] for end in range(BLOCK, len(text) + 1, BLOCK)]
        known = next((len(b) for b in reversed(begins) if b in self.read), 0)
        self.read.update(begins)
        return len(text) // BYTES_PER_TOKEN, known // BYTES_PER_TOKEN


async def _answer(send, status: int, body: dict, *headers: tuple[bytes, bytes]) -> None:
    raw = json.dumps(body, separators=(",", ":")).encode()
    kind = (b"content-type", b"application/json")
    length = (b"content-length", b"%d" % len(raw))
    start = {"type": "http.response.start", "status": status, "headers": [kind, length, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": raw})


class Fleet:
    """What a benchmark gets: where the gateway and the model servers listen, and keys."""

    def __init__(
        self, gateway: int, gateway_pid: int, replicas: dict[str, list[int]], keys: list[str]
    ) -> None:
        self.gateway = gateway
        self.gateway_pid = gateway_pid
        self.replicas = replicas
        self.keys = keys


@contextlib.contextmanager
def fleet(
    deployments: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]], people: int = 1
) -> Iterator[Fleet]:
    """A gateway before deployments: name -> (configuration, options of each model server)."""
    os.environ.setdefault("SECRET_KEY", secrets.token_hex(16))
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings.web"
    with database(os.environ["DATABASE_URL"]) as url, contextlib.ExitStack() as stack:
        os.environ["DATABASE_URL"] = url
        environment, ports = dict(os.environ), {}
        for name, (_, servers) in deployments.items():
            ports[name] = [free_port() for _ in servers]
            for port, options in zip(ports[name], servers, strict=True):
                flags = [f"--{option}={value}" for option, value in options.items()]
                command = (__file__, "--replica", str(port), *flags)
                stack.enter_context(process(*command, port=port, environment=environment))
        specs = {name: spec for name, (spec, _) in deployments.items()}
        keys = _rows(specs, ports, people)
        port = free_port()
        server = ("-m", "uvicorn", "console.gateway.asgi:application", "--log-level", "warning")
        command = (*server, "--port", str(port))
        pid = stack.enter_context(process(*command, port=port, environment=environment))
        yield Fleet(port, pid, ports, keys)
        from django.db import connections

        connections.close_all()


def _rows(specs: dict[str, dict[str, Any]], ports: dict[str, list[int]], people: int) -> list[str]:
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
    environment, _ = Environment.objects.get_or_create(name="bench")
    config = Config.objects.create(team=team, kind="serving", name="bench")
    model = Model.objects.create(team=team, name="bench")
    version = ModelVersion.objects.create(model=model, number=1)
    for number, (name, spec) in enumerate(specs.items(), 1):
        deployment = Deployment.objects.create(team=team, name=name, environment=environment)
        deployment.active_revision = Revision.objects.create(
            deployment=deployment,
            number=1,
            state="active",
            model_version=version,
            config_revision=ConfigRevision.objects.create(
                config=config, number=number, spec=spec, digest=f"{number:064d}"
            ),
            digest=f"{number:064d}",
        )
        deployment.save()
        for port in ports[name]:
            Replica.objects.create(
                revision=deployment.active_revision,
                state="ready",
                host="127.0.0.1",
                port=port,
                epoch=1,
            )
    keys = []
    for number in range(people):
        user = User.objects.create_user(f"bench{number}@example.com", name=f"Bench {number}")
        Membership.objects.create(user=user, team=team, role="viewer")
        text, prefix, digest = token_secret()
        ApiToken.objects.create(user=user, name="b", prefix=prefix, digest=digest, scopes=["infer"])
        keys.append(text)
    return keys


class Callers:
    """Requests at given moments, whoever else is still waiting: an open loop."""

    def __init__(self) -> None:
        #: (status, seconds, headers) of each request.
        self.answers: list[tuple[int, float, dict[str, str]]] = []
        self._session: Any = None

    async def __aenter__(self) -> "Callers":
        import aiohttp

        self._session = aiohttp.ClientSession(
            # Less than the gateway keeps an idle connection.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2),
            timeout=aiohttp.ClientTimeout(total=120),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, port: int, key: str, body: dict) -> None:
        began = time.monotonic()
        async with self._session.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            await response.read()
            headers = {name.lower(): value for name, value in response.headers.items()}
            self.answers.append((response.status, time.monotonic() - began, headers))

    async def poisson(self, seconds: float, rate: float, make) -> float:
        """`make()` gives (port, key, body) of each request; returns the seconds it all took."""
        began, due, tasks = time.monotonic(), 0.0, []
        while due < seconds:
            due += random.expovariate(rate)
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            tasks.append(asyncio.create_task(self.call(*make())))
        await asyncio.gather(*tasks)
        return time.monotonic() - began

    def of(self, status: int) -> list[float]:
        """Seconds of the answers with this status, ordered."""
        return sorted(seconds for code, seconds, _ in self.answers if code == status)


def p(ordered: list[float], percent: float) -> float:
    """A percentile in seconds."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))], 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replica", type=int, required=True)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--token-s", type=float, default=0.004)
    parser.add_argument("--waiting", type=int, default=16)
    options = parser.parse_args()
    import uvicorn

    app = PassingTime(options.slots, options.token_s, options.waiting)
    uvicorn.run(app, port=options.replica, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main()
