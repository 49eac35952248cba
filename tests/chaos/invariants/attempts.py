"""Attempts: one at a time, each begun once, each ended with its reason."""

import itertools

from tests.chaos.facts import Facts
from tests.chaos.load import Load


def attempts_follow_one_another(facts: Facts, load: Load) -> list[str]:
    """Epochs 1..N, each ended before the next one began; all but a good one with a reason."""
    found = []
    for pk, row in facts.jobs.items():
        rows = facts.attempts.get(pk, [])
        epochs = [attempt["epoch"] for attempt in rows]
        if epochs != list(range(1, row["epoch"] + 1)):
            found.append(f"job {pk} has attempts {epochs}, its epoch is {row['epoch']}")
        for attempt in rows:
            name = f"attempt {attempt['epoch']} of job {pk}"
            if attempt["ended_at"] is None:
                found.append(f"{name} has no end")
            good = row["state"] == "succeeded" and attempt["epoch"] == row["epoch"]
            if not good and not attempt["reason_code"]:
                found.append(f"{name} ended without a reason")
        for first, second in itertools.pairwise(rows):
            if first["ended_at"] and first["ended_at"] > second["started_at"]:
                found.append(
                    f"job {pk}: attempt {second['epoch']} began before the end of the last"
                )
    return found


def an_attempt_starts_once(facts: Facts, load: Load) -> list[str]:
    return [
        f"attempt {epoch} of job {job} ran in {len(pids)} processes"
        for (job, epoch), pids in facts.runs.items()
        if len(pids) > 1
    ]


def no_two_attempts_run_at_once(facts: Facts, load: Load) -> list[str]:
    return list(facts.overlaps)
