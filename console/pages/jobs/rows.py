"""Nested facts of a job as rows for people: its result, its settings, what held its attempts."""

import json
from typing import Any

from models_app.jobs.logs import attempt_lines
from models_app.jobs.models import Job


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as rows for people: `metrics.loss`, numbers with four places."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        elif value is not None:
            rows.append((f"{prefix}{key}", _said(key, value)))
    return rows


def _said(key: str, value: Any) -> str:
    if isinstance(value, float):
        # A learning rate of 0.00003 is not nothing.
        small = value and abs(value) < 0.01
        return f"{value:.4g}" if small else f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    # A seed is a name rather than a quantity.
    return f"{value:,}" if type(value) is int and key != "seed" else str(value)


def settings_of(job: Job) -> list[tuple[str, str]]:
    """The configuration that a training was started with."""
    version = job.model_versions.select_related("config_revision").first()
    revision = version.config_revision if version else None
    return flat(revision.spec) if revision else []


def attempts_of(job: Job) -> list[Any]:
    """The newest attempts; `fences` is what held each, as rows; its lines of the log."""
    rows: list[Any] = list(job.attempts.order_by("-epoch")[:20])
    lines = attempt_lines(job=job)
    for row in rows:
        row.first_line, row.last_line = lines.get(row.epoch, (0, 0))
        # The text of the lines after the one before the first: that is how logs are asked for.
        row.after = row.first_line - 1
        fences = {name: value for name, value in row.isolation.items() if name != "backend"}
        row.fences = flat(fences)
    return rows
