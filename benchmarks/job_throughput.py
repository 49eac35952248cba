"""Durable jobs a second, from submitting to the finished row, against bare Celery.

    python benchmarks/job_throughput.py [--jobs 2000] [--submitters 4] [--commit-ms 5]

Ours: `ping` jobs submitted through the service as the API does it (permission, validation, audit,
placement), run by the worker of a whole stack. Baselines of the same run: a no-op Celery task on
the same Redis, a worker with as many threads, nothing stored; and where procrastinate (a queue in
PostgreSQL) can be imported, its no-op tasks on the same server. Then the dispatch latency of single
jobs on the idle stack. JSON lines; goals: 150 jobs a second, each exactly once in the table, and
1.2 times procrastinate on a disk that takes some milliseconds for a commit. How long one takes here
is measured and told; --commit-ms makes the server wait so much longer with each flush of its log.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import celery
import redis
from running_stack import ROOT, running_stack

GOAL_PER_S = 150
CONCURRENCY = 8

bare = celery.Celery("bare")
bare.conf.update(task_ignore_result=True, task_default_queue="bare", worker_prefetch_multiplier=1)


@bare.task(name="bare.noop")
def noop() -> None:
    """Counts itself, so that somebody can see the end."""
    _counter().incr("bare-done")


def _counter() -> "redis.Redis":
    return redis.Redis.from_url(os.environ["BARE_REDIS"])


def baseline(redis_url: str, jobs: int) -> float:
    """No-op tasks a second through bare Celery."""
    os.environ["BARE_REDIS"] = redis_url
    bare.conf.broker_url = redis_url
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "--quiet", "-A", "job_throughput:bare", "-b", redis_url,
         "worker", "--pool=threads", "--concurrency", str(CONCURRENCY), "-l", "ERROR", "-Q", "bare",
         "--without-gossip", "--without-mingle"],
        cwd=ROOT / "benchmarks",
        env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
    )  # fmt: skip
    try:
        noop.delay()
        _until(lambda: int(_counter().get("bare-done") or 0) >= 1)
        _counter().set("bare-done", 0)
        begun = time.monotonic()
        for _ in range(jobs):
            noop.delay()
        _until(lambda: int(_counter().get("bare-done") or 0) >= jobs)
        return jobs / (time.monotonic() - begun)
    finally:
        worker.terminate()
        worker.wait(20)


PEER = """
import asyncio, sys, procrastinate
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=sys.argv[1]))
@app.task(name="noop")
def noop(): pass
async def main():
    async with app.open_async():
        await app.run_worker_async(concurrency=int(sys.argv[2]))
asyncio.run(main())
"""


def peer(database_url: str, jobs: int, submitters: int) -> float | None:
    """No-op jobs a second through procrastinate, or None where it is not installed."""
    try:
        import procrastinate
    except ImportError:
        return None
    import psycopg

    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("CREATE DATABASE peer")
    url = database_url.rpartition("/")[0] + "/peer"
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))
    task = app.task(name="noop")(print)
    with app.open():
        app.schema_manager.apply_schema()
        worker = subprocess.Popen([sys.executable, "-c", PEER, url, str(CONCURRENCY)])
        database = psycopg.connect(url, autocommit=True)

        def done() -> int:
            query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
            return int(database.execute(query).fetchone()[0])

        def submit() -> None:
            for _ in range(jobs // submitters):
                task.defer()

        try:
            task.defer()
            _until(lambda: done() >= 1)
            threads = [threading.Thread(target=submit) for _ in range(submitters)]
            begun = time.monotonic()
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            _until(lambda: done() >= jobs // submitters * submitters)
            return jobs / (time.monotonic() - begun)
        finally:
            worker.terminate()
            worker.wait(20)
            database.close()


def commit_ms(database_url: str) -> float:
    """Milliseconds that one small transaction takes."""
    import psycopg

    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS commits (n int)")
        begun = time.monotonic()
        for number in range(200):
            database.execute("INSERT INTO commits VALUES (%s)", [number])
        took = (time.monotonic() - begun) * 1000 / 200
        database.execute("DROP TABLE commits")
    return round(took, 2)


def slow_down(data_dir: Path, ms: float) -> None:
    """Each flush of the server's log takes so much longer, as on a slower disk."""
    conf = next(data_dir.glob("**/postgresql.conf"))
    with conf.open("a") as file:
        file.write(f"\ncommit_delay = {int(ms * 1000)}\ncommit_siblings = 0\n")
    os.kill(int((conf.parent / "postmaster.pid").read_text().split()[0]), signal.SIGHUP)
    time.sleep(1)


def _until(check: Any, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit("it did not come to an end")
        time.sleep(0.005)


def _submit(user: Any, team: Any, count: int) -> None:
    from django.db import connection

    from models_app.jobs.services import job_submit

    for number in range(count):
        job_submit(actor=user, team=team, kind="ping", params={"text": str(number)})
    connection.close()


def throughput(user: Any, team: Any, jobs: int, submitters: int) -> dict[str, Any]:
    """Jobs a second with `submitters` threads, and the same of submitting alone."""
    from django.db.models import Count, Max, Min

    from models_app.jobs.models import Job

    share = jobs // submitters
    threads = [
        threading.Thread(target=_submit, args=(user, team, share)) for _ in range(submitters)
    ]
    begun = time.monotonic()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    submitted = time.monotonic() - begun
    rows = Job.objects.filter(team=team, kind="ping")
    _until(lambda: rows.filter(state="succeeded").count() == share * submitters)
    seconds = time.monotonic() - begun
    odd = rows.annotate(tries=Count("attempts")).exclude(tries=1, epoch=1).count()
    times = rows.aggregate(first=Min("created_at"), last=Max("finished_at"))
    assert times["last"] > times["first"]
    return {
        "jobs": share * submitters,
        "per_s": round(share * submitters / seconds, 1),
        "submitted_per_s": round(share * submitters / submitted, 1),
        "not_exactly_once": odd,
    }


def latency(user: Any, team: Any, rounds: int) -> dict[str, float]:
    """Milliseconds from the committed submit to the claim, on the idle stack."""
    from models_app.jobs.models import Job
    from models_app.jobs.services import job_submit

    found = []
    for _ in range(rounds):
        job = job_submit(actor=user, team=team, kind="ping", params={})
        _until(lambda job=job: Job.objects.filter(pk=job.pk, state="succeeded").exists())
        job.refresh_from_db()
        found.append((job.started_at - job.created_at).total_seconds() * 1000)
        time.sleep(0.02)
    found.sort()
    return {
        "p50_ms": round(statistics.median(found), 1),
        "p99_ms": round(found[int(len(found) * 0.99) - 1], 1),
    }


def main() -> int:
    """Print a line for each measurement and one for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--submitters", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--commit-ms", type=float, default=0)
    options = parser.parse_args()
    with running_stack() as stack:
        from first_line import prepare

        prepare(stack)
        from django.conf import settings

        from console.access.models import Team, User

        user, team = User.objects.get(email="bench@example.com"), Team.objects.get(slug="bench")
        url = stack.addresses()["DATABASE_URL"]
        if options.commit_ms:
            slow_down(stack.data_dir, options.commit_ms)
        took = commit_ms(url)
        plain = baseline(settings.CELERY_BROKER_URL, options.jobs)
        other = peer(url, options.jobs // 2, options.submitters)
        _submit(user, team, 50)  # everything is loaded and connected
        time.sleep(2)
        from models_app.jobs.models import Job

        Job.objects.filter(team=team).update(kind="self_test")
        ours = throughput(user, team, options.jobs, options.submitters)
        waits = latency(user, team, options.rounds)
    met = ours["per_s"] >= GOAL_PER_S and not ours["not_exactly_once"]
    line = {
        "metric": "job_throughput",
        **ours,
        "submitters": options.submitters,
        "commit_ms": took,
        "baseline": "bare Celery, the same broker and concurrency",
        "baseline_per_s": round(plain, 1),
        "ratio": round(ours["per_s"] / plain, 3),
        "procrastinate_per_s": round(other, 1) if other else None,
        "ratio_to_procrastinate": round(ours["per_s"] / other, 2) if other else None,
        "goal_per_s": GOAL_PER_S,
        **{f"dispatch_{name}": value for name, value in waits.items()},
    }
    print(json.dumps(line))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
