"""What routes cost: rules in the CPU of the gateway, a mirror in the latency that callers see, and
how soon a substitute answers when every replica of the target is dead.

    python manage.py services --temporary -- python benchmarks/routing.py

Needs DATABASE_URL and REDIS_URL (real servers). Makes a database of its own and drops it. Prints
JSON lines; ends with 1 if a goal is missed. Plain and mirrored requests alternate in short blocks,
so that other work on the machine hits both alike.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import sys
import time
from pathlib import Path

from gateway import CHAT, Load, cpu_ms, database, free_port, process, rows

RULES = 20
#: The goals: rules cost next to nothing, a full mirror less than 5 % of p95, a substitute 50 ms.
RULES_MS, MIRROR_PERCENT, SUBSTITUTE_MS = 0.15, 5.0, 50.0


def routes(next_port: int) -> None:
    """bench/ruled: twenty rules that do not match; bench/plain and bench/mirrored: to chat, one of
    them with a full mirror; bench/dead: to a deployment without a living replica, then an n-gram.
    """
    from models_app.approvals.models import Environment
    from models_app.core.actor import SYSTEM
    from models_app.deployments.models import Deployment, Replica, Revision
    from models_app.registry.models import Model, ModelVersion
    from models_app.routing.services import route_create

    chat = Deployment.objects.select_related("active_revision__config_revision").get(name="chat")
    environment = Environment.objects.get(name="bench")
    for name, family, port in (
        ("next", "transformer", next_port),
        ("dead", "transformer", free_port()),
        ("tiny", "ngram", next_port),
    ):
        model = Model.objects.create(team=chat.team, name=name, family=family)
        row = Deployment.objects.create(team=chat.team, name=name, environment=environment)
        row.active_revision = Revision.objects.create(
            deployment=row,
            number=1,
            state="active",
            model_version=ModelVersion.objects.create(model=model, number=1),
            config_revision=chat.active_revision.config_revision,
            digest="0" * 64,
        )
        row.save()
        for _ in range(3 if name == "dead" else 1):
            Replica.objects.create(
                revision=row.active_revision, state="ready", host="127.0.0.1", port=port, epoch=1
            )
    to_chat = {"targets": [{"deployment": "chat"}]}
    conditions = [
        {"tenant": "gold"},
        {"task": ["legal", "contracts"]},
        {"language": "fr"},
        {"tokens": {"at_least": 100_000}},
    ]
    rules = [
        {"name": f"r{n}", "when": [conditions[n % 4]], **to_chat, "priority": "low"}
        for n in range(RULES)
    ]
    for name, spec in {
        "ruled": {**to_chat, "rules": rules},
        "plain": to_chat,
        "mirrored": {**to_chat, "mirror": {"deployment": "next"}},
        "to-dead": {"targets": [{"deployment": "dead"}], "fallback": [{"deployment": "tiny"}]},
    }.items():
        route_create(actor=SYSTEM, team=chat.team, name=name, environment=environment, spec=spec)


def tell(**result: object) -> dict:
    print(json.dumps(result), flush=True)
    return result


def p(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[int(len(ordered) * share)] * 1000


async def rules_cost(port: int, pid: int, key: str, number: int) -> dict:
    used: dict[str, list[float]] = {"bench/chat": [], "bench/ruled": []}
    for _ in range(4):
        for model, found in used.items():
            before = cpu_ms(pid)
            load = Load(port, key, {**CHAT, "model": model}, 16, number)
            await load.run()
            assert load.statuses == {200}, load.statuses
            found.append((cpu_ms(pid) - before) / number)
    direct, ruled = (statistics.median(found) for found in used.values())
    return tell(
        what=f"a route with {RULES} rules, none of which matches",
        cpu_ms=round(ruled, 3),
        direct_cpu_ms=round(direct, 3),
        goal_extra_ms=RULES_MS,
        met=ruled - direct <= RULES_MS,
    )


async def mirror_cost(port: int, key: str, blocks: int) -> dict:
    seconds: dict[str, list[float]] = {"bench/plain": [], "bench/mirrored": []}
    for _ in range(blocks):
        for model, found in seconds.items():
            load = Load(port, key, {**CHAT, "model": model, "stream": True}, 4, 8)
            await load.run()
            assert load.statuses == {200}, load.statuses
            found += load.seconds
    plain, mirrored = (p(found, 0.95) for found in seconds.values())
    more = 100 * (mirrored / plain - 1)
    return tell(
        what="every request mirrored, streams of 100 events at 5 ms",
        p95_ms=round(mirrored, 1),
        plain_p95_ms=round(plain, 1),
        p50_ms=round(p(seconds["bench/mirrored"], 0.5), 1),
        plain_p50_ms=round(p(seconds["bench/plain"], 0.5), 1),
        more_percent=round(more, 2),
        goal_percent=MIRROR_PERCENT,
        met=more < MIRROR_PERCENT,
    )


async def substitute(port: int, key: str) -> dict:
    load = Load(port, key, {**CHAT, "model": "bench/to-dead"}, 1, 30)
    await load.run()
    worst = max(load.seconds) * 1000
    return tell(
        what="three dead replicas, then an n-gram: time to the whole answer",
        status=sorted(load.statuses),
        first_ms=round(load.seconds[0] * 1000, 2),
        p50_ms=round(p(load.seconds, 0.5), 2),
        worst_ms=round(worst, 2),
        goal_ms=SUBSTITUTE_MS,
        met=worst < SUBSTITUTE_MS and load.statuses == {200},
    )


def check_rows(copies: int) -> dict:
    """What the database says of it."""
    from models_app.deployments.models import RequestRecord
    from models_app.routing.models import MirrorPair

    until = time.monotonic() + 10
    while MirrorPair.objects.count() < copies and time.monotonic() < until:
        time.sleep(0.1)
    pairs = MirrorPair.objects.all()
    degraded = RequestRecord.objects.filter(degraded="ngram").count()
    return tell(
        what="records",
        pairs=pairs.count(),
        compared=pairs.filter(outcome="compared").count(),
        dropped=pairs.filter(outcome="dropped").count(),
        degraded=degraded,
        met=pairs.count() == copies and degraded == 30,
    )


async def bench(port: int, pid: int, key: str, number: int, blocks: int) -> list[dict]:
    # The dead ones first: nobody has found them dead yet.
    found = [await substitute(port, key), await mirror_cost(port, key, blocks)]
    return [*found, await rules_cost(port, pid, key, number)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    os.environ.setdefault("SECRET_KEY", secrets.token_hex(16))
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings.web"
    with database(os.environ["DATABASE_URL"]) as url:
        os.environ["DATABASE_URL"] = url
        environment = dict(os.environ)
        up, other, gate = free_port(), free_port(), free_port()
        key = rows(up)
        routes(other)
        here = str(Path(__file__).with_name("gateway.py"))
        server = ("-m", "uvicorn", "console.gateway.asgi:application", "--log-level", "warning")
        with (
            process(here, "--upstream", str(up), port=up, environment=environment),
            process(here, "--upstream", str(other), port=other, environment=environment),
            process(*server, "--port", str(gate), port=gate, environment=environment) as pid,
        ):
            found = asyncio.run(bench(gate, pid, key, options.requests, options.blocks))
            found.append(check_rows(options.blocks * 8))
        from django.db import connections

        connections.close_all()
    return 0 if all(result["met"] for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
