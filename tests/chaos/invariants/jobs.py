"""Jobs: none lost, each ended once, as it may, with the right result."""

from tests.chaos.facts import Facts
from tests.chaos.load import Load, chain
from tests.flows.site import OVER

ENDINGS = {
    "succeeded": "job.succeeded", "failed": "job.failed", "canceled": "job.canceled",
    "timed_out": "job.timed_out",
}  # fmt: skip


def every_accepted_job_is_there(facts: Facts, load: Load) -> list[str]:
    return [f"job {pk} was accepted and is gone" for pk in load.accepted() if pk not in facts.jobs]


def every_job_ends_as_it_may(facts: Facts, load: Load) -> list[str]:
    found = []
    for pk, row in facts.jobs.items():
        ends = load.shorts[pk].ends if pk in load.shorts else {"succeeded"}
        if row["state"] not in OVER or row["lease_until"] is not None:
            found.append(f"job {pk} has not ended: {row['state']}")
        elif row["state"] not in ends:
            reason = row["reason"][:200]
            found.append(f"job {pk} is {row['state']}: {row['reason_code']} {reason}")
    return found


def every_job_ends_once(facts: Facts, load: Load) -> list[str]:
    """One event of the end; a job that was cancelled before it ran has none of its worker."""
    found = []
    for pk, row in facts.jobs.items():
        told = [event["action"] for event in facts.endings.get(pk, [])]
        wanted = [ENDINGS.get(row["state"], "")]
        if told != wanted and not (row["state"] == "canceled" and not told):
            found.append(f"job {pk} is {row['state']} and told {told}")
    return found


def a_result_is_that_of_an_undisturbed_run(facts: Facts, load: Load) -> list[str]:
    found = []
    for pk, job in load.shorts.items():
        row = facts.jobs.get(pk)
        if row and row["state"] == "succeeded" and row["result"].get("digest") != job.digest:
            found.append(f"job {pk} ended with {row['result']}, not {job.digest}")
    return found


def checkpoints_belong_to_the_work(facts: Facts, load: Load) -> list[str]:
    found = []
    for pk, rows in facts.checkpoints.items():
        epochs = {attempt["epoch"] for attempt in facts.attempts.get(pk, [])}
        digests = _digests(load, pk)
        for row in rows:
            if row["epoch"] not in epochs:
                found.append(f"job {pk} has a checkpoint of attempt {row['epoch']}, never begun")
            if digests and row["digest"] != digests[row["step"]]:
                found.append(f"job {pk} has a wrong checkpoint at step {row['step']}")
    return found


def metrics_are_complete(facts: Facts, load: Load) -> list[str]:
    """Each step's value once, and it is the one that this step has."""
    found = []
    for pk in load.shorts:
        if facts.jobs.get(pk, {}).get("state") != "succeeded":
            continue
        digests = _digests(load, pk)
        points = {row["step"]: row["value"] for row in facts.values.get(pk, [])}
        wanted = {step: int(digests[step][:4], 16) / 65536 for step in range(1, len(digests))}
        if points != wanted:
            odd = sorted(set(points.items()) ^ set(wanted.items()))[:3]
            found.append(f"job {pk} has {len(points)} of {len(wanted)} values; {odd}")
    every, steps = load.training["log_every"], load.training["steps"]
    for pk in load.trainings:
        if facts.jobs.get(pk, {}).get("state") == "succeeded":
            told = [row["step"] for row in facts.losses.get(pk, [])]
            if told != list(range(every, steps + 1, every)):
                found.append(f"training {pk} told its loss at {told}")
    return found


def _digests(load: Load, pk: int) -> list[str]:
    if pk not in load.shorts:
        return []
    params = load.shorts[pk].params
    return chain(params["seed"], params["steps"])
