"""Two model servers, one ten times as slow: the gateway against taking turns, and shared prefixes.

    python manage.py services --temporary -- python benchmarks/balancing.py

Poisson arrivals, three repeats of both one after the other. Prints JSON lines; ends with 1 if the
95th percentile with the gateway is more than half of that with taking turns.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.fleet import Callers, Fleet, fleet, p

GOAL = 0.5


SLOW, TALKS = "slow", "talks"
SERVERS = {
    SLOW: (
        {"max_slots": 4},
        [{"slots": 4, "waiting": 1000}, {"slots": 4, "waiting": 1000, "token-s": 0.04}],
    ),
    TALKS: ({"max_slots": 8}, [{"slots": 8, "waiting": 1000}] * 3),
}


def body(words: int = 40, tokens: int = 50) -> dict:
    text = " ".join(f"w{random.randrange(10**6)}" for _ in range(words))
    return {
        "model": f"bench/{SLOW}",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": random.randrange(tokens // 2, tokens * 3 // 2),
    }


async def arrivals(ports: Iterable[int], key: str, seconds: float, rate: float) -> Callers:
    """Each request to the next port."""
    turns = itertools.cycle(ports)
    async with Callers() as callers:
        await callers.poisson(seconds, rate, lambda: (next(turns), key, body()))
    return callers


def one_slow(found: Fleet, seconds: float, repeats: int, rate: float) -> bool:
    """The servers in turn, then the gateway, several times."""
    ratios = []
    for _ in range(repeats):
        line: dict[str, float] = {}
        for name, ports in (("turns", found.replicas[SLOW]), ("gateway", [found.gateway])):
            callers = asyncio.run(arrivals(ports, found.keys[0], seconds, rate))
            times = callers.of(200)
            line[f"{name}_p50_s"], line[f"{name}_p95_s"] = p(times, 50), p(times, 95)
            line[f"{name}_failed"] = len(callers.answers) - len(times)
        ratios.append(line["gateway_p95_s"] / line["turns_p95_s"])
        print(json.dumps({"what": "one slow", "per_s": rate, **line}), flush=True)
    ratio = round(statistics.median(ratios), 3)
    said = {"what": "p95, gateway / turns", "ratio": ratio, "each": [round(r, 3) for r in ratios]}
    print(json.dumps({**said, "goal": GOAL, "met": ratio <= GOAL}), flush=True)
    return ratio <= GOAL


async def talks(ports: Iterable[int], key: str, people: int, rounds: int) -> Callers:
    """People whose every question carries what was said before."""
    turns = itertools.cycle(ports)
    async with Callers() as callers:

        async def talk() -> None:
            text = "".join(random.choices("abcdefgh ", k=3000))
            messages = [{"role": "system", "content": text}]
            for _ in range(rounds):
                text = "".join(random.choices("abcdefgh ", k=300))
                messages.append({"role": "user", "content": text})
                said = {"model": f"bench/{TALKS}", "messages": messages, "max_tokens": 10}
                await callers.call(next(turns), key, said)
                await asyncio.sleep(random.random() * 0.2)

        await asyncio.gather(*(talk() for _ in range(people)))
    return callers


def prefixes(found: Fleet, people: int, rounds: int) -> None:
    """How much of what they read three equal servers have read before."""
    said: dict[str, float] = {}
    for name, ports in (("turns", found.replicas[TALKS]), ("gateway", [found.gateway])):
        callers = asyncio.run(talks(ports, found.keys[0], people, rounds))
        times = callers.of(200)
        said[f"{name}_p50_s"], said[f"{name}_p95_s"] = p(times, 50), p(times, 95)
        cached = [int(h.get("x-slipway-cached-tokens", 0)) for _, _, h in callers.answers]
        said[f"{name}_cached_tokens"] = sum(cached)
    from models_app.deployments.models import RequestRecord

    rows, until = RequestRecord.objects.filter(deployment__name=TALKS), time.monotonic() + 10
    while rows.count() < people * rounds and time.monotonic() < until:
        time.sleep(0.1)
    said["gateway_cached_tokens"] = sum(rows.values_list("cached_tokens", flat=True))
    print(json.dumps({"what": "tokens found read before", **said}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rate", type=float, default=4, help="requests a second")
    options = parser.parse_args()
    random.seed(1)
    with fleet(SERVERS) as found:
        met = one_slow(found, options.seconds, options.repeats, options.rate)
        prefixes(found, people=12, rounds=6)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
