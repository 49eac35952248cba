"""Signals about jobs: how long they wait, by pool, and how many fail, by kind."""

from models_app.alerts.signals import Answers, Question, ask

NARROWED = """(%(pool)s = '' OR pool.name = %(pool)s) AND (%(kind)s = '' OR job.kind = %(kind)s)"""
# A job that was given back waits anew from when it may run again.
WAITING = f"""
SELECT job.team_id, pool.name,
       max(extract(epoch FROM clock_timestamp() - greatest(job.run_after, job.created_at)))
  FROM jobs_job job JOIN pools_pool pool ON pool.id = job.pool_id
 WHERE job.state = 'pending' AND job.run_after <= clock_timestamp() AND {NARROWED}
 GROUP BY 1, 2
"""
ENDED = """
SELECT job.team_id, job.kind, {value}
  FROM jobs_job job JOIN pools_pool pool ON pool.id = job.pool_id
 WHERE job.finished_at > clock_timestamp() - make_interval(mins => %(minutes)s)
   AND job.state IN ('succeeded', 'failed', 'timed_out') AND {narrowed}
 GROUP BY 1, 2
"""
FAILED = "count(*) FILTER (WHERE job.state <> 'succeeded')"
#: Of fewer ended jobs a share says nothing.
LEAST = 5


def queue_wait_seconds(question: Question) -> Answers:
    """How long the job that waits longest has waited, by pool; nothing where none waits."""
    return ask(WAITING, question)


def jobs_failed(question: Question) -> Answers:
    """Jobs that failed or timed out in the last minutes, by kind."""
    return ask(ENDED.format(value=FAILED, narrowed=NARROWED), question)


def jobs_failed_percent(question: Question) -> Answers:
    """Their share of all that ended by themselves, by kind."""
    share = f"CASE WHEN count(*) >= {LEAST} THEN 100.0 * {FAILED} / count(*) END"
    return ask(ENDED.format(value=share.replace("%", "%%"), narrowed=NARROWED), question)
