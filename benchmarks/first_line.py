"""From submitting a job to its first log line in a WebSocket client.

    python benchmarks/first_line.py [ROUNDS]

The client does what a page does: it hears the bell and fetches the lines by number. Baseline of the
same run: an event published by hand until the same client hears it. JSON lines; goal p50 < 300 ms.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

from running_stack import ROOT, Stack, running_stack


def prepare(stack: Stack) -> tuple[str, str, str]:
    """A person with a team: (session key, token, team)."""
    sys.path.insert(0, str(ROOT))
    os.environ.update({**stack.environment(), **stack.addresses()})
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings.web"
    import django

    django.setup()
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from console.access.models import ApiToken, Membership, Team, User
    from console.access.roles import Role, Scope
    from console.access.tokens import token_secret

    user = User.objects.create_user("bench@example.com", "a long password", name="Bench")
    team = Team.objects.create(slug="bench", title="Bench")
    Membership.objects.create(user=user, team=team, role=Role.DEVELOPER)
    text, prefix, digest = token_secret()
    ApiToken.objects.create(
        user=user, name="bench", prefix=prefix, digest=digest, scopes=list(Scope.values)
    )
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "console.access.backends.RoleBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key), text, f"team.{team.pk}"


async def heard(socket: Any, topic: str, wanted: str) -> dict[str, Any]:
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 30))
        if message.get("topic") == topic and message["type"] == wanted:
            return dict(message)


async def measure(stack: Stack, rounds: int) -> tuple[list[float], list[float]]:
    from websockets.asyncio.client import connect

    session, token, team_topic = await asyncio.to_thread(prepare, stack)
    from models_app.events.publish import publish_now

    headers = {"Cookie": f"slipway={session}", "Origin": stack.url}
    lines, events = [], []

    def call(method: str, path: str, body: Any = None) -> Any:
        request = Request(
            stack.url + path, method=method, data=json.dumps(body).encode() if body else None
        )
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    async with connect(f"ws{stack.url[4:]}/ws/live/", additional_headers=headers) as socket:
        await socket.send(json.dumps({"sub": team_topic}))
        await heard(socket, team_topic, "subscribed")
        for number in range(rounds + 2):
            begun = time.perf_counter()
            await asyncio.to_thread(publish_now, "bench.event", {}, team_topic)
            await heard(socket, team_topic, "bench.event")
            events.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            job = await asyncio.to_thread(
                call,
                "POST",
                "/api/v1/jobs",
                {"team": "bench", "kind": "self_test", "params": {"steps": 1, "step_ms": 1}},
            )
            topic = f"job.{job['id']}"
            await socket.send(json.dumps({"sub": topic}))
            # Joined first, then read: a bell between the two is not missed.
            await heard(socket, topic, "subscribed")
            while not (await asyncio.to_thread(call, "GET", f"{job['url']}/logs"))["lines"]:
                await heard(socket, topic, "job.progress")
            lines.append(time.perf_counter() - begun)
            while (await asyncio.to_thread(call, "GET", job["url"]))["state"] != "succeeded":
                await asyncio.sleep(0.2)
            del number
    return lines[2:], events[2:]


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with running_stack() as stack:
        lines, events = asyncio.run(measure(stack, rounds))
    p50, base = statistics.median(lines) * 1000, statistics.median(events) * 1000
    worst = sorted(lines)[int(len(lines) * 0.99)] * 1000
    print(
        json.dumps(
            {
                "metric": "submit_to_first_line_ms",
                "p50": round(p50, 1),
                "p99": round(worst, 1),
                "rounds": rounds,
                "goal": 300,
                "baseline": "an event alone",
                "baseline_p50": round(base, 1),
                "ratio": round(p50 / base, 1),
            }
        )
    )
    return 0 if p50 < 300 else 1


if __name__ == "__main__":
    sys.exit(main())
