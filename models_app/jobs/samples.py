"""What models in training wrote, by step and prompt: untrusted text, masked as logs are.

A step that is trained again after a resume replaces what was stored of it. Rows are fenced by the
epoch as metrics are, and what an attempt that is over had still to tell fills only gaps.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from models_app.core.errors import StaleEpoch
from models_app.jobs.metrics import HELD_ROW
from models_app.jobs.models import Job, TextSample
from models_app.jobs.states import HELD

#: Characters of a prompt and of a text that are kept.
LONGEST = 20_000
#: Steps that a page offers; of more, even ones between the first and the last.
MOST_STEPS = 200

STORE = """
WITH held AS ({held}), rows AS (
  INSERT INTO jobs_textsample (job_id, step, place, prompt, text, at)
  SELECT %(job)s, u.step, u.place, u.prompt, u.text, u.at
    FROM json_to_recordset(%(rows)s)
      AS u(step bigint, place int, prompt text, text text, at timestamptz), held
  ON CONFLICT (job_id, step, place) {again}
)
SELECT count(*) FROM held
"""
REPLACE = STORE.format(
    held=HELD_ROW,
    again="DO UPDATE SET prompt = excluded.prompt, text = excluded.text, at = excluded.at",
)
KEEP = STORE.format(held="SELECT 1", again="DO NOTHING")


def samples_append(*, job: Job, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store `{step, place, prompt, text, at}`; a repeated step is replaced. Raises StaleEpoch."""
    text = _as_text(rows)
    values = {"job": job.pk, "epoch": job.epoch, "held": sorted(HELD)}
    if text and not _store(REPLACE, {**values, "rows": text}):
        raise StaleEpoch


def samples_append_late(*, job_id: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store what an attempt that is over had still written, where nobody has done so since."""
    if text := _as_text(rows):
        _store(KEEP, {"job": job_id, "rows": text})


def sample_steps(*, job: Job, most: int = MOST_STEPS) -> list[int]:
    """Steps of which there are samples, in order: the first, the last, even ones in between."""
    rows = TextSample.objects.filter(job=job).order_by("step")
    steps = list(rows.values_list("step", flat=True).distinct())
    if len(steps) <= most:
        return steps
    return [steps[place * (len(steps) - 1) // (most - 1)] for place in range(most)]


def samples_at(*, job: Job, step: int) -> list[TextSample]:
    """What was written at a step, by the place of the prompt."""
    return list(TextSample.objects.filter(job=job, step=step).order_by("place"))


def samples_after(*, job: Job, after_step: int, limit: int) -> list[TextSample]:
    """The samples behind a step in order, those of one step never apart; at most about `limit`."""
    rows = TextSample.objects.filter(job=job, step__gt=after_step).order_by("step", "place")
    found = list(rows[:limit])
    return found + list(rows.filter(step=found[-1].step)[_of_last(found) :]) if found else []


def _of_last(found: list[TextSample]) -> int:
    return sum(row.step == found[-1].step for row in found)


def _as_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """JSON of the rows, the last of each step and place; empty where there are none."""
    unique = {
        (row["step"], row["place"]): {
            "step": row["step"],
            "place": row["place"],
            "prompt": row["prompt"][:LONGEST],
            "text": row["text"][:LONGEST],
            "at": row["at"],
        }
        for row in rows
    }
    return json.dumps([*unique.values()]) if unique else ""


def _store(statement: str, values: dict[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return bool(cursor.fetchone()[0])
