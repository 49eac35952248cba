"""Replicas follow a step of the load, by queue depth and by waiting time, and do not flap.

    python benchmarks/scaling_steps.py [--by depth latency] [--high 10]

A fresh stack, a small trained transformer, one replica of at most four. One person asks through the
gateway, then ten at once, then one again. Tells when the number of replicas changed and why, how
long each way took, turns within a minute (goal: none but the one up and the one down), and failed
requests (goal: none; the clients do not retry). Prints JSON lines; ends with 1 if a goal is missed.
"""

import argparse
import datetime as dt
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.faults.people import Crowd, Question, percentile
from benchmarks.faults.site import SPEC, Site, running_site, until
from benchmarks.faults.words import sentences

MOST = 4
WAYS: dict[str, dict[str, Any]] = {
    # Ten at once and two and a half for each: four replicas.
    "depth": {"target_requests": 2.5},
    # Ten are more than two slots; who waits for one has his first token late.
    "latency": {"target_requests": 512, "target_first_token_ms": 150, "max_slots": 2},
}
QUESTION = Question(prompt="the ship meets the tide", seed=1, temperature=0.8, tokens=96)
#: A minute in which a second turn would be one too many.
TURN_S = 60.0


def changes(site: Site, begun: dt.datetime) -> list[dict[str, Any]]:
    """What the deployment says of its number of replicas, oldest first."""
    rows = site.api.get(f"{site.path}/scaling")
    rows = rows["results"] if isinstance(rows, dict) else rows
    found = [
        {
            "at_s": round((dt.datetime.fromisoformat(row["at"]) - begun).total_seconds(), 1),
            "before": row["before"],
            "after": row["after"],
            "cause": row["cause"],
        }
        for row in reversed(rows)
    ]
    return [row for row in found if row["at_s"] >= 0]


def turns(found: list[dict[str, Any]]) -> int:
    """Changes that took back one of less than a minute before."""
    return sum(
        (a["after"] > a["before"]) != (b["after"] > b["before"]) and b["at_s"] - a["at_s"] < TURN_S
        for a, b in itertools.pairwise(found)
    )


def step(site: Site, way: str, version: int, high: int) -> dict[str, Any]:
    """The figures of one step up and one down."""
    spec = {**SPEC, "replicas": 1, "max_replicas": MOST, "scale_down_after_s": 20, **WAYS[way]}
    site.deployment(f"steps-{way}")
    body = {"model_version": version, "spec": spec, "reason": "steps"}
    number = site.api.post(f"{site.path}/revisions", body)["number"]
    site.serves(number, 1)
    until(site.asked, "it can be asked")
    url, began, zero = site.stack.gateway_url, dt.datetime.now(dt.UTC), time.monotonic()

    def wait(count: int) -> float:
        until(lambda: len(site.replicas(number)) == count, f"{count} replicas")
        return round(time.monotonic() - zero, 1)

    marks = {}
    with Crowd(url, site.token, site.model, QUESTION) as crowd:
        crowd.size = 1
        time.sleep(10)
        crowd.size = high
        marks["high_s"] = round(time.monotonic() - zero, 1)
        marks["most_s"] = wait(MOST)
        time.sleep(20)
        crowd.size = 1
        marks["low_s"] = round(time.monotonic() - zero, 1)
        marks["least_s"] = wait(1)
        time.sleep(15)
    found = changes(site, began)

    def first_ms(since: float, until_s: float) -> int:
        waits = [f for ended, f, _ in crowd.answered if since <= ended - zero < until_s]
        return round(percentile(waits, 0.95) * 1000)

    return {
        "by": way,
        **marks,
        "changes": found,
        "turns": turns(found),
        "answered": len(crowd.answered),
        "failed": len(crowd.failed),
        "errors": crowd.failed[:3],
        "first_p95_ms": {
            "one": first_ms(0, marks["high_s"]),
            f"{high}, one replica": first_ms(marks["high_s"], marks["high_s"] + 4),
            f"{high}, all": first_ms(marks["most_s"] + 5, marks["low_s"]),
        },
        "met": not crowd.failed and turns(found) == 0 and found[-1]["after"] == 1,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--by", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--high", type=int, default=10)
    options = parser.parse_args()
    met = True
    with running_site(gateways=1, two_machines=False) as site:
        (version,) = site.trained(sentences(), (1,))
        for way in options.by:
            row = step(site, way, version, options.high)
            print(json.dumps(row), flush=True)
            met = met and row["met"]
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
