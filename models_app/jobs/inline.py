"""The common end of several inline jobs: what costs most of a moment's work is the way here."""

import json
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from models_app.audit.services import audit_record_all
from models_app.core.actor import SYSTEM
from models_app.jobs.kind import kind_of
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.placement import place_on_commit
from models_app.jobs.resources import Ask
from models_app.jobs.signals import job_announce
from models_app.jobs.states import JobState

FINISH = """
UPDATE jobs_job SET state = 'succeeded', lease_until = NULL, finished_at = clock_timestamp(),
       result = done.result::jsonb, percent = 100, eta_s = 0, stage = ''
  FROM unnest(%s::bigint[], %s::text[]) AS done (id, result)
 WHERE jobs_job.id = done.id
"""


@transaction.atomic
def jobs_finish_inline(results: list[tuple[Job, dict[str, Any]]]) -> set[int]:
    """`attempts.job_finish` of several inline jobs in one transaction, all or none.

    Returns the numbers of those that ended so. The others are being cancelled or have lost their
    lease: each has to be ended by itself.
    """
    held = _lock(results)
    if not held:
        return set()
    for row, result in held:
        kind, params = kind_of(row)
        row.state, row.result = JobState.SUCCEEDED, kind.apply(params, row, result)
    rows = [row for row, _result in held]
    numbers = [row.pk for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(FINISH, [numbers, [json.dumps(row.result) for row in rows]])
    attempts = JobAttempt.objects.filter(job__in=numbers, epoch=F("job__epoch"), ended_at=None)
    attempts.update(ended_at=Now())
    audit_record_all(actor=SYSTEM, action="job.succeeded", objs=rows)
    for row in rows:
        job_announce(row)
    if not all(Ask.of(row).nothing for row in rows):
        place_on_commit()
    return set(numbers)


def _lock(results: list[tuple[Job, dict[str, Any]]]) -> list[tuple[Job, dict[str, Any]]]:
    """The rows that their epochs hold, locked in one order, with the results."""
    told = {job.pk: (job.epoch, result) for job, result in results}
    rows = Job.objects.filter(pk__in=told, state=JobState.RUNNING, lease_until__gt=Now())
    locked = rows.select_for_update().order_by("pk")
    return [(row, told[row.pk][1]) for row in locked if told[row.pk][0] == row.epoch]
