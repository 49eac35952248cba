"""An answer that was kept against the same one computed, through the gateway, by a real engine.

    python benchmarks/kept_answers.py [--tokens 64] [--rounds 20]

A fresh stack, a small trained transformer on one replica, a deployment that keeps answers. Each
question is asked twice with the stock client: computed, then kept; whole and as a stream. Prints
JSON lines: medians, their ratio (goal: at least 20) and whether the bodies were equal.
"""

import argparse
import json
import secrets
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.faults.site import SPEC, Site, running_site, until
from benchmarks.faults.words import sentences

GOAL = 20


def ask(site: Site, body: dict[str, Any]) -> tuple[float, str, bytes]:
    """(seconds, what the gateway says of its cache, the body) of one request."""
    headers = {"Authorization": f"Bearer {site.token}", "Content-Type": "application/json"}
    url = f"{site.stack.gateway_url}/v1/completions"
    begun = time.perf_counter()
    request = Request(url, data=json.dumps({"model": site.model, **body}).encode(), headers=headers)
    with urlopen(request, timeout=60) as answer:
        data = answer.read()
        return time.perf_counter() - begun, answer.headers["x-cache"] or "", data


def compared(site: Site, tokens: int, rounds: int, *, stream: bool) -> dict[str, Any]:
    """Medians of both, each question asked one right after the other."""
    took: dict[str, list[float]] = {"miss": [], "hit": []}
    equal, unique = True, secrets.token_hex(3)
    for number in range(rounds):
        question = {
            "prompt": f"the ship {unique} meets number {number}",
            "max_tokens": tokens, "temperature": 0,
            "stream": stream,
        }  # fmt: skip
        bodies = []
        for wanted in ("miss", "hit"):
            seconds, said, data = ask(site, question)
            if said != wanted:
                raise SystemExit(f"question {number}: {said or 'nothing'} instead of {wanted}")
            took[wanted].append(seconds * 1000)
            bodies.append(data)
            time.sleep(0.3)  # it is kept behind the caller's back
        equal = equal and bodies[0] == bodies[1]
    computed, kept = (statistics.median(took[name]) for name in ("miss", "hit"))
    return {
        "stream": stream, "tokens": tokens, "rounds": rounds, "computed_ms": round(computed, 2),
        "kept_ms": round(kept, 2), "ratio": round(computed / kept, 1), "equal": equal,
        "met": equal and computed / kept >= GOAL,
    }  # fmt: skip


def measured(site: Site, version: int, tokens: int, rounds: int) -> list[dict[str, Any]]:
    """Both ways, on a deployment of this version."""
    site.deployment("keeper")
    spec = {**SPEC, "replicas": 1, "max_replicas": 0, "response_cache_s": 600}
    body = {"model_version": version, "spec": spec, "reason": "kept answers"}
    site.serves(int(site.api.post(f"{site.path}/revisions", body)["number"]), 1)
    until(site.asked, "it can be asked")
    return [compared(site, tokens, rounds, stream=stream) for stream in (False, True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with running_site(gateways=1, two_machines=False) as site:
        (version,) = site.trained(sentences(), (1,))
        rows = measured(site, version, options.tokens, options.rounds)
    for row in rows:
        print(json.dumps(row), flush=True)
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
