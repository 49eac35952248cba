"""Searches among 100,000 training runs: filters over metrics, parameters, tags, data, author, time.

    python manage.py services --temporary -- python benchmarks/run_search.py [--runs 100000]

Makes the rows in a database of its own (eight metrics, twelve parameters and two tags a run, five
teams, forty datasets, twenty authors), then asks each of the queries as a member of two teams does:
a page of 50 with everything a run shows. Baseline of the same run: the same statements while
PostgreSQL may not use an index, which is what columns of JSON would give. JSON lines; ends with 1
where p95 of any query misses its goal.
"""

import argparse
import random
import sys
import time
from typing import Any

from log_stage import database, quantile, say

GOAL_MS = 200
RUNS = """
INSERT INTO jobs_job (team_id, created_by_id, created_at, kind, title, params, params_digest, state,
  reason_code, reason, pool_id, cpus, memory_mib, disk_mib, gpus, node_selector, excluded_nodes,
  priority, epoch, max_attempts, barren_attempts, worker, node_name, yield_reason,
  failure_signature, stage, log_seq, log_first, log_bytes, finished_at)
SELECT %(team)s + floor(random() * 5), %(user)s + floor(random() * 20),
  '2026-01-01'::timestamptz + n * interval '4 min',
  CASE WHEN n %% 4 = 0 THEN 'external' ELSE 'train' END, 'run ' || n, '{}', '',
  CASE WHEN random() < 0.02 THEN 'failed' WHEN n %% 997 = 0 THEN 'canceled' ELSE 'succeeded' END,
  '', '', %(pool)s, 0, 0, 0, 0, '{}', '[]', 0, 1, 4, 0, '', '', '', '', '', 0, 1, 0,
  '2026-01-01'::timestamptz + n * interval '4 min' + interval '1 h'
  FROM generate_series(1, %(runs)s) AS n
"""
ROWS = """
INSERT INTO registry_trainingrun
  (job_id, team_id, name, model_id, dataset_version_id, dataset_id, created_by_id, created_at)
SELECT j.id, j.team_id, j.title, NULL, NULL, %(dataset)s + floor(random() * 40), j.created_by_id,
  j.created_at FROM jobs_job j
"""
METRICS = """
INSERT INTO jobs_metriclatest (job_id, name, step, value)
SELECT r.job_id, m.name, 1000, m.low + (m.high - m.low) * power(random(), 2)
  FROM registry_trainingrun r,
  (VALUES ('loss', 1.2, 6.0), ('validation_loss', 1.4, 6.5), ('best_validation_loss', 1.4, 6.4),
          ('learning_rate', 1e-5, 1e-2), ('gradient_norm', 0.1, 9.0),
          ('tokens_per_second', 900, 90000), ('tokens_seen', 1e5, 1e9), ('seconds', 9, 90000))
  AS m(name, low, high)
"""
PARAMS = """
INSERT INTO registry_runparam (run_id, name, number, text)
SELECT r.job_id, p.name, v.number, v.number::text FROM registry_trainingrun r,
  (VALUES ('learning_rate'), ('batch_size'), ('steps'), ('seed'), ('weight_decay'), ('dropout'),
          ('warmup_steps'), ('sequence_length'), ('vocab_size'), ('gradient_clip'))
  AS p(name), LATERAL (SELECT CASE p.name
    WHEN 'learning_rate' THEN (array[1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3])
                              [1 + floor(random() * 6 + 0 * r.job_id)]
    WHEN 'batch_size' THEN (array[8, 16, 32, 64, 128])[1 + floor(random() * 5 + 0 * r.job_id)]
    WHEN 'seed' THEN r.job_id ELSE round((random() * 100)::numeric, 1) END AS number) AS v
UNION ALL
SELECT r.job_id, p.name, NULL, p.text FROM registry_trainingrun r,
  LATERAL (VALUES ('schedule', (array['cosine', 'linear', 'constant'])
                              [1 + floor(random() * 3 + 0 * r.job_id)]),
                  ('architecture.activation', 'gelu')) AS p(name, text)
"""
TAGS = """
INSERT INTO registry_tag (job_id, name, value, set_at)
SELECT r.job_id, t.name, t.value, r.created_at FROM registry_trainingrun r,
  LATERAL (VALUES ('team', chr(97 + floor(random() * 6 + 0 * r.job_id)::int)),
                  ('sweep', 'sweep-' || (r.job_id / 40)::text)) AS t(name, value)
"""
#: name -> (filter with places for a random loss, dataset and author, order)
QUERIES: dict[str, tuple[str, str]] = {
    "metric and dataset": ("metrics.validation_loss < {v} and dataset = 'data-{d}'", ""),
    "the same, best first": (
        "metrics.validation_loss < {v} and dataset = 'data-{d}'", "metrics.validation_loss",
    ),
    "metric, parameter, dataset, tag, time": (
        "metrics.validation_loss < {v} and params.learning_rate >= 1e-4 and dataset = 'data-{d}'"
        " and tag.team = 'a' and created > 2026-03-01", "metrics.validation_loss",
    ),
    "metric alone, best first": ("metrics.loss < {v}", "metrics.loss"),
    "two metrics": ("metrics.loss < {v} and metrics.gradient_norm > 8.5", ""),
    "parameters": ("params.batch_size = 64 and params.schedule = 'cosine'", "-params.dropout"),
    "one run by its seed": ("params.seed = {n}", ""),
    "tag": ("tag.sweep = 'sweep-{s}'", "metrics.validation_loss"),
    "author and state": ("author = 'user-{a}@example.com' and state = 'failed'", ""),
    "or, not, in": (
        "(dataset in ('data-{d}', 'data-1') or tag.team = 'b') and not metrics.loss > {v}",
        "-metrics.tokens_per_second",
    ),
    "nothing matches": ("metrics.loss < 0 and dataset = 'data-{d}'", "metrics.loss"),
    "like and time": ("name like 'run 77%' and created < 2026-08-01", "-created"),
}  # fmt: skip


def build(runs: int) -> Any:
    """Rows as services would have left them; a member of the first two teams."""
    from django.db import connection

    from console.access.models import Membership, Team, User
    from models_app.datasets.models import Dataset
    from models_app.pools.services.pools import pool_for

    teams = [Team.objects.create(slug=f"team-{n}", title=f"Team {n}") for n in range(5)]
    users = [
        User.objects.create_user(f"user-{n}@example.com", "a long password", name=f"User {n}")
        for n in range(20)
    ]
    data = [Dataset.objects.create(team=teams[n % 5], name=f"data-{n}") for n in range(40)]
    for team in teams[:2]:
        Membership.objects.create(user=users[0], team=team, role="developer")
    values = {"team": teams[0].pk, "user": users[0].pk, "dataset": data[0].pk,
              "pool": pool_for(team=teams[0]).pk, "runs": runs}  # fmt: skip
    begun = time.perf_counter()
    with connection.cursor() as cursor:
        for statement in (RUNS, ROWS, METRICS, PARAMS, TAGS):
            cursor.execute(statement, values)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT pg_total_relation_size('jobs_metriclatest')"
                       " + pg_total_relation_size('registry_runparam')"
                       " + pg_total_relation_size('registry_trainingrun')"
                       " + pg_total_relation_size('registry_tag')")  # fmt: skip
        size = cursor.fetchone()[0]
    say(what="build", runs=runs, seconds=round(time.perf_counter() - begun, 1), mib=size >> 20)
    return User.objects.get(pk=users[0].pk)


def ask(actor: Any, text: str, order: str, dice: random.Random, runs: int) -> tuple[float, int]:
    from models_app.registry.run_selectors import runs_load
    from models_app.registry.search.query import run_search

    text = text.format(
        v=round(dice.uniform(1.5, 2.6), 3), d=dice.randrange(40), a=dice.randrange(20),
        n=dice.randrange(runs), s=dice.randrange(runs // 40),
    )  # fmt: skip
    begun = time.perf_counter()
    found = runs_load(run_search(actor=actor, text=text, order=order, limit=50).ids)
    return (time.perf_counter() - begun) * 1000, len(found)


def measure(actor: Any, times: int, runs: int) -> dict[str, dict[str, float]]:
    dice, found = random.Random(7), {}
    for name, (text, order) in QUERIES.items():
        ask(actor, text, order, dice, runs)
        rows = [ask(actor, text, order, dice, runs) for _ in range(times)]
        took = [row[0] for row in rows]
        found[name] = {
            "p50_ms": round(quantile(took, 0.5), 1), "p95_ms": round(quantile(took, 0.95), 1),
            "found": round(sum(row[1] for row in rows) / len(rows), 1),
        }  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40)
    options = parser.parse_args()
    with database():
        from django.db import connection

        actor = build(options.runs)
        ours = measure(actor, options.times, options.runs)
        with connection.cursor() as cursor:
            for kind in ("indexscan", "indexonlyscan", "bitmapscan"):
                cursor.execute(f"SET enable_{kind} = off")
        plain = measure(actor, 3, options.runs)
        for name, figures in ours.items():
            base = plain[name]["p50_ms"]
            say(what=name, **figures, baseline="without indexes", baseline_p50_ms=base,
                ratio=round(base / figures["p50_ms"], 1))  # fmt: skip
        worst = max(figures["p95_ms"] for figures in ours.values())
        met = worst < GOAL_MS
        base = max(figures["p50_ms"] for figures in plain.values())
        say(metric="run_search", runs=options.runs, queries=len(QUERIES), worst_p95_ms=worst,
            baseline="without indexes", baseline_worst_ms=base, ratio=round(base / worst, 1),
            goal=f"p95 < {GOAL_MS} ms", met=met)  # fmt: skip
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
