"""From the spool into the store: lines a second of one worker, and what masking costs of it.

    python manage.py services --temporary -- python benchmarks/log_ingest.py

Ships a spool of half a million lines as a worker does that is behind. CPU seconds of the worker are
what counts on a shared machine; wall time includes the database. Baselines of the same run: the
same without masking, and a COPY of the same lines as rows. JSON lines; ends with 1 under 50,000
lines a second.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from log_stage import database, event, held_job, say

LINES = 500_000
GOAL = 50_000
AT = "2026-01-01T00:00:{:02d}.{:03d}Z"
TEXTS = {
    "plain": "step {n} loss 2.3145 lr 0.0003 grad-norm 0.81 epoch 1.25 of 3 at 51234/s",
    "signs": "step {n} tokens/s 51234 tokenizer key=value https://example.com/a loss 2.31",
    "secrets": "step {n} GET https://ana:hunter{n}@db/x Authorization: Bearer abc.{n}-xyz",
}


def ship(folder: Path, text: str, *, masked: bool) -> dict[str, float]:
    from workers.masking import Masker
    from workers.shipping import Shipper

    job = held_job()
    shipper = Shipper(job, folder)
    with shipper.spool.path.open("wb") as spool:
        for n in range(LINES):
            at = AT.format(n // 10_000 % 60, n // 10 % 1000)
            spool.write(event(text.format(n=n), at))
    if not masked:
        shipper.spool.masker = NoMasker()  # type: ignore[assignment]
    assert masked == isinstance(shipper.spool.masker, Masker)
    cpu, wall = time.process_time(), time.perf_counter()
    while shipper.ship():
        pass
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    job.refresh_from_db()
    assert job.log_seq == LINES
    shipper.spool.path.unlink()
    return {"lines_per_s": round(LINES / wall), "lines_per_cpu_s": round(LINES / cpu)}


class NoMasker:
    """Lets everything through."""

    known = ("",)
    key_lines = 0

    def look(self, said: str) -> bool:
        return False


def rows() -> dict[str, float]:
    """The lines as rows, by COPY in batches of 200, committed each."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_row (job bigint, seq bigint, at text, txt text,"
                       " PRIMARY KEY (job, seq))")  # fmt: skip
        cpu, wall, count = time.process_time(), time.perf_counter(), LINES // 5
        for start in range(0, count, 200):
            with cursor.copy("COPY bench_row FROM STDIN") as copy:
                for n in range(start, start + 200):
                    copy.write_row((1, n, AT.format(0, 0), TEXTS["plain"].format(n=n)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        cursor.execute("SELECT pg_total_relation_size('bench_row')")
        size = cursor.fetchone()[0] / count
    return {
        "lines_per_s": round(count / wall),
        "lines_per_cpu_s": round(count / cpu),
        "bytes_per_line": round(size, 1),
    }


def stored() -> dict[str, Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum(last_seq - first_seq + 1),"
            " pg_total_relation_size('jobs_logchunk') FROM jobs_logchunk"
        )
        chunks, lines, size = cursor.fetchone()
    return {"chunks": chunks, "lines_per_chunk": round(lines / chunks),
            "bytes_per_line": round(size / float(lines), 1)}  # fmt: skip


def main() -> int:
    met = True
    with database(), tempfile.TemporaryDirectory() as name:
        for kind, text in TEXTS.items():
            for masked in (False, True):
                found = ship(Path(name), text, masked=masked)
                say(way="ship", text=kind, masked=masked, **found)
                met = met and found["lines_per_cpu_s"] >= GOAL
        say(way="store", **stored())
        say(way="baseline: COPY of rows, 200 a commit", **rows())
    say(metric="log_ingest", goal=f">= {GOAL} lines a second", met=met)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
