"""Twenty times as many requests as two model servers can answer, for a minute.

    python manage.py services --temporary -- python benchmarks/overload.py [--seconds 60]

Half of the callers are one person. Those who are admitted must keep their 95th percentile, everyone
else is told 429 and when to come again, nobody waits without bound, and stock `openai` clients that
begin during the overload get their answers by themselves. The same load through a line without
bounds is the baseline. Prints JSON lines; ends with 1 if a goal is missed.
"""

import argparse
import asyncio
import collections
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.fleet import Callers, Fleet, fleet, p
from benchmarks.gateway import cpu_ms

SLOTS, TOKENS, TOKEN_S = 4, 50, 0.012
#: Reading the prompt is small beside this.
SERVICE_S = TOKENS * TOKEN_S
CAPACITY = 2 * SLOTS / SERVICE_S
LINE, WAIT_S = 8, 5
#: What an admitted one may take: its place ahead at the server, the whole line, itself, and half
#: as much again for a machine that has other work.
GOAL_S = round((SERVICE_S * 2 + LINE / CAPACITY) * 1.5, 2)
SERVERS = [{"slots": SLOTS, "token-s": TOKEN_S, "waiting": 4}] * 2
DEPLOYMENTS = {
    "bounded": ({"max_slots": SLOTS, "queue_limit": LINE, "queue_wait_s": WAIT_S}, SERVERS),
    "unbounded": ({"max_slots": SLOTS, "queue_limit": 10_000, "queue_wait_s": 600}, SERVERS),
}


def body(name: str) -> dict:
    text = f"Where is parcel {random.randrange(10**6)}?"
    said = [{"role": "user", "content": text}]
    return {"model": f"bench/{name}", "messages": said, "max_tokens": TOKENS}


def key(found: Fleet) -> str:
    """The first person asks as much as all others together."""
    return found.keys[0] if random.random() < 0.5 else random.choice(found.keys[1:])


async def load(found: Fleet, name: str, seconds: float, rate: float) -> Callers:
    async with Callers() as callers:
        await callers.poisson(seconds, rate, lambda: (found.gateway, key(found), body(name)))
    return callers


async def stock(port: int, keys: list[str], wait_s: float) -> list[float]:
    """Seconds until each of twelve `openai` clients as they come has its answer."""
    import openai

    clients = [
        openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=keys[n % len(keys)])
        for n in range(12)
    ]
    await asyncio.sleep(max(0.0, wait_s - time.time()))

    async def one(client: "openai.AsyncOpenAI") -> float:
        began = time.monotonic()
        async with client:
            await client.chat.completions.create(**body("bounded"))
        return round(time.monotonic() - began, 2)

    return sorted(await asyncio.gather(*map(one, clients)))


async def overload(found: Fleet, seconds: float, times: float) -> tuple[Callers, list[float]]:
    """The load, and stock clients in a process of their own, two seconds before it ends."""
    command = (sys.executable, __file__, "--stock", str(found.gateway), *found.keys)
    child = await asyncio.create_subprocess_exec(
        *command, f"--at={time.time() + seconds - 2}", stdout=asyncio.subprocess.PIPE
    )
    callers = await load(found, "bounded", seconds, CAPACITY * times)
    said, _ = await child.communicate()
    return callers, json.loads(said)


def told(callers: Callers) -> dict:
    """What those got who were not admitted."""
    refused = [headers for status, _, headers in callers.answers if status == 429]
    return {
        "retry_after_s": dict(
            sorted(collections.Counter(int(h["retry-after"]) for h in refused).items())
        ),
        "all_told_to_retry": all(h.get("x-should-retry") == "true" for h in refused),
        "refused_p95_s": p(callers.of(429), 95) if refused else None,
    }


def people(found: Fleet) -> dict:
    """Answers per person: the first asked as much as all others together."""
    from models_app.deployments.models import RequestRecord

    time.sleep(1)
    rows = RequestRecord.objects.filter(deployment__name="bounded", status=200)
    count = collections.Counter(rows.values_list("user__email", flat=True))
    loud = count.pop("bench0@example.com", 0)
    inside = sorted(rows.values_list("total_ms", flat=True))
    waits = sorted(rows.values_list("gateway_wait_ms", flat=True))
    return {
        "gateway_p95_s": round(p(inside, 95) / 1000, 3),
        "in_line_p95_s": round(p(waits, 95) / 1000, 3),
        "in_line_longest_s": round(waits[-1] / 1000, 3),
        "retries": sum(rows.values_list("retries", flat=True)),
        "loud": loud,
        "each_other": round(sum(count.values()) / len(found.keys[1:]), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--times", type=float, default=20)
    parser.add_argument("--stock", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--at", type=float, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stock:
        port, *keys = options.stock
        print(json.dumps(asyncio.run(stock(int(port), keys, options.at))))
        return 0
    random.seed(1)
    with fleet(DEPLOYMENTS, people=5) as found:
        calm = asyncio.run(load(found, "bounded", 5, CAPACITY * 0.5))
        print(json.dumps({"what": "half the capacity", "p95_s": p(calm.of(200), 95)}), flush=True)
        before = cpu_ms(found.gateway_pid)
        callers, clients = asyncio.run(overload(found, options.seconds, options.times))
        used = cpu_ms(found.gateway_pid) - before
        good, statuses = callers.of(200), collections.Counter(a[0] for a in callers.answers)
        result = {
            "what": f"{options.times:g} times the capacity of {CAPACITY:g}/s",
            "seconds": options.seconds,
            "statuses": dict(statuses),
            "admitted_per_s": round(len(good) / options.seconds, 1),
            "p50_s": p(good, 50),
            "p95_s": p(good, 95),
            "longest_s": round(max(seconds for _, seconds, _ in callers.answers), 2),
            "goal_p95_s": GOAL_S,
            "cpu_ms_a_request": round(used / len(callers.answers), 3),
            **told(callers),
            **people(found),
            "stock_clients_s": clients,
        }
        result["met"] = (
            result["p95_s"] <= GOAL_S
            and set(statuses) == {200, 429}
            and result["all_told_to_retry"]
            and len(good) >= 0.7 * CAPACITY * options.seconds
        )
        print(json.dumps(result), flush=True)
        # Twice the capacity is enough to see where a line without bounds leads.
        free = asyncio.run(load(found, "unbounded", min(options.seconds, 10), CAPACITY * 2))
        line = {"what": "a line without bounds, 2 times", "p95_s": p(free.of(200), 95)}
        print(json.dumps(line), flush=True)
    return 0 if result["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
