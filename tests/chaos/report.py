"""What a run tells: one line for each seed, and a summary for machines."""

import json
from collections import Counter, defaultdict
from statistics import median
from typing import Any

from tests.chaos.run import Outcome


def line(outcome: Outcome) -> str:
    """One seed for people."""
    healed = [(wound.healed_s or 0, wound.fault) for wound in outcome.wounds]
    worst = max(healed, default=(0.0, "nothing"))
    asked = sum(outcome.answers.values())
    verdict = "ok" if not outcome.violations else f"{len(outcome.violations)} VIOLATIONS"
    return (
        f"seed {outcome.seed}: {verdict} in {outcome.seconds:.0f} s · "
        f"{', '.join(outcome.faults)} · {outcome.jobs} jobs, {outcome.attempts} attempts, "
        f"{outcome.lines} lines · back at work after at most {worst[0]:.1f} s ({worst[1]}) · "
        f"{asked} requests: {told(outcome.answers)}"
    )


def told(answers: dict[str, int]) -> str:
    return ", ".join(f"{count} {how}" for how, count in sorted(answers.items())) or "none"


def failure(outcome: Outcome) -> str:
    """What was wrong and how to see it again."""
    names = ",".join(outcome.faults)
    return "\n".join(
        [
            *(f"  - {text}" for text in outcome.violations[:40]),
            f"  again: make chaos FIRST={outcome.seed} SEEDS=1  (faults: {names})",
            f"  its data directory is kept: {outcome.data_dir}",
        ]
    )


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """Everything in figures."""
    wounds = [wound for outcome in outcomes for wound in outcome.wounds]
    answers: Counter[str] = sum((Counter(each.answers) for each in outcomes), Counter())
    jobs, attempts = sum(o.jobs for o in outcomes), sum(o.attempts for o in outcomes)
    return {
        "seeds": len(outcomes),
        "failed_seeds": [each.seed for each in outcomes if each.violations],
        "faults": sum(len(each.faults) for each in outcomes),
        "faults_by_kind": dict(
            sorted(Counter(name for each in outcomes for name in each.faults).items())
        ),
        "skipped": {name: why for each in outcomes for name, why in each.skipped.items()},
        "jobs": jobs,
        "trainings": sum(each.trainings for each in outcomes),
        "attempts": attempts,
        "recoveries": max(0, attempts - jobs),
        "log_lines": sum(each.lines for each in outcomes),
        # until a next attempt began, and until the work was farther than before the fault
        "taken_over_s": timing([(wound.fault, wound.claimed_s) for wound in wounds]),
        "back_at_work_s": timing([(wound.fault, wound.healed_s) for wound in wounds]),
        "requests": dict(answers),
        "refused_with": dict(
            sum((Counter(each.refusals) for each in outcomes), Counter()).most_common(8)
        ),
        "seconds": round(sum(each.seconds for each in outcomes)),
    }


def timing(measured: list[tuple[str, float | None]]) -> dict[str, Any]:
    """Median and worst, of all and of each kind."""
    times: dict[str, list[float]] = defaultdict(list)
    for name, seconds in measured:
        if seconds is not None:
            times[name].append(seconds)
    every = [second for found in times.values() for second in found]
    if not every:
        return {}
    return {
        "median": round(median(every), 1),
        "worst": round(max(every), 1),
        "by_kind": {
            name: [round(median(found), 1), round(max(found), 1)]
            for name, found in sorted(times.items())
        },
    }


def as_json(outcomes: list[Outcome]) -> str:
    return json.dumps(summary(outcomes), sort_keys=False)
