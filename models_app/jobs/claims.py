"""A worker takes the jobs that were placed on its node, each with a lease and a new epoch.

A job on several nodes is claimed by that of its part 0; the others then take up theirs (`gangs`).
"""

from typing import Any

from django.conf import settings

from models_app.jobs.gangs import parts_call
from models_app.jobs.kind import inline_kinds
from models_app.jobs.models import Job
from models_app.jobs.signals import job_announce

#: Claim and record of the attempt in one statement, so that there is never one without the other.
CLAIM = """
WITH picked AS MATERIALIZED (
SELECT id FROM jobs_job
 WHERE state = 'scheduled' AND node_name = %(node)s
   AND (%(job_id)s::bigint IS NULL OR id = %(job_id)s)
   AND (%(inline)s::boolean IS NULL OR (kind = ANY(%(kinds)s)) = %(inline)s)
 ORDER BY priority DESC, id FOR UPDATE SKIP LOCKED LIMIT %(limit)s
), claimed AS (
UPDATE jobs_job SET state = 'running', epoch = epoch + 1, worker = %(worker)s,
       lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
       started_at = coalesce(started_at, clock_timestamp()), reason_code = '', reason = ''
  FROM picked WHERE jobs_job.id = picked.id
RETURNING jobs_job.*
), tried AS (
INSERT INTO jobs_jobattempt (job_id, epoch, node_name, worker, started_at, exit_signal, reason_code,
       reason, tail, environment, isolation, spool_offset, log_complete)
SELECT id, epoch, node_name, worker, clock_timestamp(), '', '', '', '', '{}', '{}', 0, false
  FROM claimed
), parts AS (
UPDATE jobs_jobpart part SET state = CASE part.number WHEN 0 THEN 'running' ELSE 'placed' END,
       worker = CASE part.number WHEN 0 THEN %(worker)s ELSE '' END,
       started_at = CASE part.number WHEN 0 THEN clock_timestamp() END,
       lease_until = CASE WHEN part.number > 0
                          THEN clock_timestamp() + make_interval(secs => %(lease)s) END
  FROM claimed
 WHERE claimed.nodes > 1 AND part.job_id = claimed.id AND part.epoch = claimed.epoch
)
SELECT * FROM claimed ORDER BY priority DESC, id
"""


def jobs_claim(*, worker: str, node: str, inline: bool, limit: int = 1) -> list[Job]:
    """Take up to `limit` jobs that wait on this node: inline ones, or those that take a slot.

    Empty: nothing to do, or somebody else was faster. A go signal delivered twice is harmless.
    """
    return _claim(worker=worker, node=node, inline=inline, limit=limit)


def job_claim(*, worker: str, node: str, job_id: int | None = None) -> Job | None:
    """Take just this job, or the next one of any kind."""
    return next(iter(_claim(worker=worker, node=node, job_id=job_id)), None)


def _claim(
    *,
    worker: str,
    node: str,
    job_id: int | None = None,
    inline: bool | None = None,
    limit: int = 1,
) -> list[Job]:
    values: dict[str, Any] = {
        "worker": worker,
        "node": node,
        "job_id": job_id,
        "inline": inline,
        "kinds": inline_kinds(),
        "limit": limit,
        "lease": settings.JOB_LEASE_S,
    }
    jobs = list(Job.objects.raw(CLAIM, values))
    for job in jobs:
        job_announce(job)
        if job.nodes > 1:
            parts_call(job)
    return jobs
