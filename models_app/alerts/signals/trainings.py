"""Signals about trainings, from the figures that they report; the subject is the job's number.

Only those that run are looked at, and those that ended in the last minutes because they diverged.
Ratios have no unit: how many times what is usual for the same training.
"""

from models_app.alerts.signals import Answers, Question, ask

OF_TRAININGS = """
  FROM jobs_job job
  JOIN pools_pool pool ON pool.id = job.pool_id
  JOIN jobs_jobattempt attempt ON attempt.job_id = job.id AND attempt.epoch = job.epoch
"""
RUNNING = """job.kind = 'train' AND job.state = 'running'
   AND (%(pool)s = '' OR pool.name = %(pool)s)"""
SINCE = "clock_timestamp() - make_interval(mins => %(minutes)s)"

BAD_STEPS = f"""
SELECT job.team_id, job.id::text,
       CASE WHEN job.state = 'failed' THEN 1 ELSE 0 END + coalesce(counted.steps, 0)
  FROM jobs_job job
  JOIN pools_pool pool ON pool.id = job.pool_id
  LEFT JOIN LATERAL (
    SELECT sum(newest - before) AS steps FROM (
      SELECT max(value) AS newest, coalesce(max(value) FILTER (WHERE at <= {SINCE}), 0) AS before
        FROM jobs_metricpoint
       WHERE job_id = job.id AND name IN ('skipped_steps', 'rewinds') GROUP BY name
    ) names
  ) counted ON true
 WHERE job.kind = 'train' AND (%(pool)s = '' OR pool.name = %(pool)s)
   AND (job.state = 'running' OR (job.state = 'failed' AND job.reason_code = 'diverged'
        AND job.finished_at > {SINCE}))
"""

#: Points among which a spike is looked for, and those before it that say what is usual.
NEWEST, USUAL, LEAST = 200, 30, 5
SPIKE = f"""
SELECT job.team_id, job.id::text, max(point.value / nullif(usual.value, 0))
  {OF_TRAININGS}
 CROSS JOIN LATERAL (
   SELECT step, value, at FROM jobs_metricpoint
    WHERE job_id = job.id AND name = 'loss' ORDER BY step DESC LIMIT {NEWEST}
 ) point
 CROSS JOIN LATERAL (
   SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value, count(*) AS points FROM (
     SELECT value FROM jobs_metricpoint
      WHERE job_id = job.id AND name = 'loss' AND step < point.step
      ORDER BY step DESC LIMIT {USUAL}
   ) before
 ) usual
 WHERE {RUNNING} AND point.at > {SINCE} AND usual.points >= {LEAST}
 GROUP BY job.id
"""

#: Newest points that say where the loss is, of how many the lowest say where it has been.
LEVEL, REMEMBERED = 10, 2000
RISE = f"""
SELECT job.team_id, job.id::text, recent.value / nullif(best.value, 0)
  {OF_TRAININGS}
 CROSS JOIN LATERAL (
   SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value FROM (
     SELECT value FROM jobs_metricpoint
      WHERE job_id = job.id AND name = 'loss' ORDER BY step DESC LIMIT {LEVEL}
   ) newest
 ) recent
 CROSS JOIN LATERAL (
   SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value, max(points) AS points FROM (
     SELECT value, count(*) OVER () AS points FROM (
       SELECT value FROM jobs_metricpoint
        WHERE job_id = job.id AND name = 'loss' ORDER BY step DESC LIMIT {REMEMBERED}
     ) remembered ORDER BY value LIMIT {LEVEL}
   ) lowest
 ) best
 WHERE {RUNNING} AND best.points >= {3 * LEVEL}
"""

#: Seconds of silence that are nothing yet.
PATIENCE_S = 30
SILENCE = f"""
SELECT job.team_id, job.id::text,
       CASE WHEN silent.seconds > {PATIENCE_S} THEN silent.seconds / greatest(pause.longest, 1)
            ELSE 0 END
  {OF_TRAININGS}
 CROSS JOIN LATERAL (
   SELECT max(extract(epoch FROM gap)) AS longest, max(at) AS last, count(*) AS points FROM (
     SELECT at, at - lag(at) OVER (ORDER BY step) AS gap FROM (
       SELECT step, at FROM jobs_metricpoint
        WHERE job_id = job.id AND name = 'loss' AND at >= attempt.started_at
        ORDER BY step DESC LIMIT {NEWEST}
     ) newest
   ) gaps
 ) pause
 CROSS JOIN LATERAL (
   SELECT extract(epoch FROM clock_timestamp() - greatest(pause.last, job.progress_at)) AS seconds
 ) silent
 WHERE {RUNNING} AND job.stage = 'training' AND pause.points >= {LEAST}
"""

#: Newest points of a process that are taken together, as on the page of the training.
TOGETHER = 5
STRAGGLER = f"""
WITH busy AS (
  SELECT job.team_id, job.id, rank.seconds,
         row_number() OVER (PARTITION BY job.id ORDER BY rank.seconds DESC) AS place
    {OF_TRAININGS}
   CROSS JOIN LATERAL (
     SELECT greatest(avg(value) FILTER (WHERE part = 'step')
                     - avg(value) FILTER (WHERE part = 'wait'), 0) AS seconds
       FROM (
         SELECT split_part(latest.name, '_', 2) AS number, split_part(latest.name, '_', 3) AS part,
                point.value
           FROM jobs_metriclatest latest
          CROSS JOIN LATERAL (
            SELECT value FROM jobs_metricpoint
             WHERE job_id = latest.job_id AND name = latest.name AND at >= attempt.started_at
             ORDER BY step DESC LIMIT {TOGETHER}
          ) point
          WHERE latest.job_id = job.id AND latest.name ~ '^rank_[0-9]+_(step|wait)_seconds$'
       ) told
      GROUP BY number HAVING count(DISTINCT part) = 2
   ) rank
   WHERE {RUNNING}
)
SELECT team_id, id::text,
       max(seconds) / nullif(
         percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE place > 1), 0)
  FROM busy GROUP BY team_id, id HAVING count(*) > 1
"""

#: Looks at the validation loss among which a row of bad ones is counted.
LOOKS = 12
OVERFITTING = f"""
SELECT job.team_id, job.id::text, streak.looks
  {OF_TRAININGS}
 CROSS JOIN LATERAL (
   WITH looks AS (
     SELECT step, value, lag(value) OVER steps AS value_before,
            lag(step) OVER steps AS step_before,
            coalesce(lag(step, 2) OVER steps, -1) AS step_earlier
       FROM (SELECT step, value FROM jobs_metricpoint
              WHERE job_id = job.id AND name = 'validation_loss'
              ORDER BY step DESC LIMIT {LOOKS + 2}) newest
     WINDOW steps AS (ORDER BY step)
   ), judged AS (
     SELECT step, value > value_before AND (
              SELECT avg(value) FROM jobs_metricpoint WHERE job_id = job.id AND name = 'loss'
                 AND step > looks.step_before AND step <= looks.step
            ) < (
              SELECT avg(value) FROM jobs_metricpoint WHERE job_id = job.id AND name = 'loss'
                 AND step > looks.step_earlier AND step <= looks.step_before
            ) AS worse
       FROM looks
   )
   SELECT count(*) AS looks FROM judged
    WHERE step > coalesce((SELECT max(step) FROM judged WHERE worse IS NOT TRUE), -1)
 ) streak
 WHERE {RUNNING}
"""


def training_bad_steps(question: Question) -> Answers:
    """Steps skipped and rewinds of the last minutes; one more if the training ended diverged."""
    return ask(BAD_STEPS, question)


def training_loss_spike(question: Question) -> Answers:
    """The highest loss of the last minutes over the median of the points before it."""
    return ask(SPIKE, question)


def training_loss_rise(question: Question) -> Answers:
    """The median of the newest losses over that of the lowest: a loss that has gone up to stay."""
    return ask(RISE, question)


def training_silence(question: Question) -> Answers:
    """How long no step was heard of, over the longest pause between the newest points.

    That pause holds validations and checkpoints too. Nothing below half a minute counts.
    """
    return ask(SILENCE, question)


def training_slow_rank(question: Question) -> Answers:
    """Seconds of a step of the slowest process over the median of the others.

    Without the time in which each waits for the others, after which all would look alike; ways
    to train that cannot tell this time have no value.
    """
    return ask(STRAGGLER, question)


def training_overfitting(question: Question) -> Answers:
    """Newest looks in a row at which the validation loss rose while the training loss fell."""
    return ask(OVERFITTING, question)
