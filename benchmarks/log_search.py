"""Search in ten million lines of one job: rare, common and absent texts, regular expressions.

    python manage.py services --temporary -- python benchmarks/log_search.py [--lines 10000000]

Builds the log once (some hundred MiB), then follows the pages of each search to its end as a page
of the console does. `first_ms` is one request; no request may take much longer than its budget.
Baseline of the same run: the same lines of a hundredth as rows in a table, LIKE over them, scaled
up. JSON lines; ends with 1 where a goal is missed.
"""

import argparse
import random
import sys
import time
from typing import Any

from log_stage import database, held_job, say

CHUNK = 8192
RARE = "needle-4f1d"
SEARCHES: dict[str, dict[str, Any]] = {
    "rare": {"text": RARE},
    "absent": {"text": "no such words"},
    "absent, short": {"text": "q!"},
    "common": {"text": "loss 2.3"},
    "errors": {"text": "", "level": "error"},
    "regex with a rare word": {"text": r"needle-\w{4}$", "regex": True},
    "regex without a word": {"text": r"[#@]\d{9}", "regex": True},
    "regex that hangs others": {"text": r"(\w+\s?)+#$", "regex": True},
}
#: The longest that one request may take, and a rare text or an absent word in the whole log.
REQUEST_MS, WHOLE_S = 1000, 1.5


def texts(first: int, count: int, dice: random.Random) -> list[str]:
    return [
        f"step {n} loss {2 + dice.random():.4f} lr 0.0003 batch {dice.getrandbits(40):x} "
        f"grad-norm {dice.random():.3f} at {dice.randrange(40_000, 60_000)}/s"
        for n in range(first, first + count)
    ]


def build(job: Any, lines: int) -> dict[str, Any]:
    from models_app.jobs.log_chunks import pack
    from models_app.jobs.logs import store
    from models_app.jobs.models import Job

    dice, begun, size = random.Random(7), time.perf_counter(), 0
    for first in range(1, lines + 1, CHUNK):
        count = min(CHUNK, lines - first + 1)
        said = texts(first, count, dice)
        level = ["info"] * count
        for share in (0.37, 0.9):
            if first <= lines * share < first + count:
                at = int(lines * share) - first
                said[at], level[at] = f"found the {RARE}", "error"
        at = f"2026-01-01T{first // 360_000 % 24:02d}:{first // 6000 % 60:02d}:00.000Z"
        chunk = pack([(at, "job", one, text) for one, text in zip(level, said, strict=True)])
        store(job.pk, 1, first, first + count - 1, chunk)
        size += chunk.size
    Job.objects.filter(pk=job.pk).update(log_seq=lines, log_bytes=size)
    job.refresh_from_db()
    return {"seconds": round(time.perf_counter() - begun, 1), "text_mib": size >> 20}


def table() -> dict[str, Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), pg_total_relation_size('jobs_logchunk') FROM jobs_logchunk"
        )
        rows, size = cursor.fetchone()
    return {"rows": rows, "stored_mib": size >> 20}


def search(job: Any, most: int | None = None, **wanted: Any) -> dict[str, Any]:
    """Follow the pages; `most` hits are enough, as for a reader."""
    from models_app.jobs.log_search import log_search

    requests, hits, longest, after, begun = 0, 0, 0.0, 0, time.perf_counter()
    while after is not None and (most is None or hits < most):
        one = time.perf_counter()
        page = log_search(job=job, after=after, limit=100, **wanted)
        longest = max(longest, time.perf_counter() - one)
        requests, hits, after = requests + 1, hits + len(page["hits"]), page["next"]
        if requests == 1:
            first = time.perf_counter() - begun
    return {
        "hits": hits, "requests": requests, "first_ms": round(first * 1000, 1),
        "longest_ms": round(longest * 1000, 1), "whole_s": round(time.perf_counter() - begun, 2),
    }  # fmt: skip


def rows(lines: int) -> dict[str, Any]:
    from django.db import connection

    count = lines // 100
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_row (job bigint, seq bigint, txt text,"
                       " PRIMARY KEY (job, seq))")  # fmt: skip
        with cursor.copy("COPY bench_row FROM STDIN") as copy:
            for n, text in enumerate(texts(1, count, random.Random(7))):
                copy.write_row((1, n, text))
        begun = time.perf_counter()
        cursor.execute(
            "SELECT count(*) FROM bench_row WHERE job = 1 AND txt ILIKE %s", [f"%{RARE}%"]
        )
        took = time.perf_counter() - begun
        cursor.execute("SELECT pg_total_relation_size('bench_row')")
        size = cursor.fetchone()[0]
    return {"whole_s": round(took * 100, 2), "stored_mib": size * 100 >> 20}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    lines = parser.parse_args().lines
    met = True
    with database():
        job = held_job()
        say(what="build", lines=lines, **build(job, lines), **table())
        for name, wanted in SEARCHES.items():
            found = say(what=name, **search(job, most=500, **wanted))
            met = met and found["longest_ms"] < REQUEST_MS
            if name in ("rare", "absent", "errors", "regex with a rare word"):
                met = met and found["whole_s"] < WHOLE_S
        say(what="baseline: ILIKE over rows, scaled up", **rows(lines))
    say(
        metric="log_search", goal=f"a request < {REQUEST_MS} ms, a rare text < {WHOLE_S} s", met=met
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
