"""The work that every system gets, and what is measured of it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .systems import System


@dataclass(frozen=True)
class Request:
    """A prompt, how many tokens are wanted, and when it comes (seconds after the beginning)."""

    prompt: list[int]
    tokens: int
    at: float = 0.0


def together(count: int, prompt: int, tokens: int, vocabulary: int) -> list[Request]:
    """So many requests of one size, all at once."""
    chance = random.Random(count)
    return [
        Request([chance.randrange(1, vocabulary) for _ in range(prompt)], tokens)
        for _ in range(count)
    ]


def poisson(count: int, rate: float, shortest: int, longest: int, vocabulary: int) -> list[Request]:
    """Arrivals of a Poisson process, so many a second, with mixed lengths in and out."""
    chance, at, found = random.Random(20), 0.0, []
    for _ in range(count):
        at += chance.expovariate(rate)
        prompt = [chance.randrange(1, vocabulary) for _ in range(chance.randint(shortest, longest))]
        found.append(Request(prompt, chance.randint(shortest, longest), at))
    return found


def serve(system: System, requests: list[Request]) -> dict[str, Any]:
    """All requests to their ends; rates over the whole, latencies of each request and token."""
    told: dict[int, list[float]] = {number: [] for number in range(len(requests))}
    left = {number: request.tokens for number, request in enumerate(requests)}
    coming = sorted(left, key=lambda number: requests[number].at)
    cpu, began = time.process_time(), time.perf_counter()
    running: set[int] = set()
    while coming or running:
        now = time.perf_counter() - began
        while coming and requests[coming[0]].at <= now:
            number = coming.pop(0)
            system.add(number, requests[number].prompt, requests[number].tokens)
            running.add(number)
        if not running:
            time.sleep(max(0.0, requests[coming[0]].at - now))
            continue
        for number, at in system.step():
            told[number].append(at - began)
            left[number] -= 1
            if not left[number]:
                running.discard(number)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    tokens = sum(request.tokens for request in requests)
    firsts = [told[number][0] - request.at for number, request in enumerate(requests)]
    gaps = [later - sooner for row in told.values() for sooner, later in pairwise(row)]
    return {
        "tokens_per_s": round(tokens / wall, 1),
        "tokens_per_cpu_s": round(tokens / cpu, 1),
        **_quantiles("first_token_ms", firsts),
        **_quantiles("gap_ms", gaps),
    }


def _quantiles(name: str, seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    places = {share: min(len(ordered) - 1, share * len(ordered) // 100) for share in (50, 95)}
    return {f"{name}_p{share}": round(ordered[at] * 1000, 1) for share, at in places.items()}
