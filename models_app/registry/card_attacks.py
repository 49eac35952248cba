"""What a model card says of the attack suite; in English, as all of a card."""

from collections.abc import Iterator
from typing import Any

from django.utils import translation

from models_app.registry.attacks import CATEGORIES, WHY, AttackRun


def attack_result(run: AttackRun) -> dict[str, Any]:
    """The score for the head of the card: a metric on a dataset that is the suite itself."""
    return {
        "task": {"type": "text-generation"},
        "dataset": {
            "type": "slipway/attack-suite",
            "name": f"Attack suite {run.suite}",
            "revision": run.suite_digest[:40],
        },
        "metrics": [{"type": "attack_score", "name": "Attack score", "value": run.score}],
    }


def attack_words(run: AttackRun) -> str:
    """One paragraph: what was run, how it went, and what that does not say."""
    return (
        f"Suite {run.suite}, digest `{run.suite_digest}`, seed {run.seed}:"
        f" {run.passed} of {run.applicable} answers broke no rule."
        " A high score is no proof of safety: only what is listed was tried."
    )


def attack_rows(run: AttackRun) -> Iterator[tuple[Any, ...]]:
    """Category, answers, passed, score; of what was not asked, why."""
    for row in run.report.get("categories", []):
        known = CATEGORIES.get(row["name"])
        with translation.override("en"):
            title = str(known.title) if known else row["name"]
            why = str(WHY.get(row["why"], row["why"]))
        if row["rate"] is None:
            yield (title, "not applicable", None, why)
        else:
            yield (title, row["count"], row["passed"], row["rate"])
