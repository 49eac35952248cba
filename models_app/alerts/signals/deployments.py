"""Signals about deployments: their replicas, and how their requests went, from the record."""

from models_app.alerts.signals import Answers, Question, ask

NARROWED = """
       (%(deployment)s = '' OR deployment.name = %(deployment)s)
   AND (%(environment)s = '' OR environment.name = %(environment)s)
   AND environment.name <> ALL(%(besides)s)
"""
REPLICAS = f"""
SELECT deployment.team_id, deployment.name, greatest(0, revision.replicas - count(replica.id))
  FROM deployments_deployment deployment
  JOIN approvals_environment environment ON environment.id = deployment.environment_id
  JOIN deployments_revision revision ON revision.id = deployment.active_revision_id
  LEFT JOIN deployments_replica replica
         ON replica.state = 'ready'
        AND (replica.revision_id = revision.id OR replica.revision_id IN (
              SELECT revision_id FROM deployments_rollout rollout
               WHERE rollout.deployment_id = deployment.id
                 AND rollout.state IN ('running', 'paused')))
 WHERE deployment.stopped_at IS NULL AND {NARROWED}
 GROUP BY deployment.id, revision.id
"""
#: Failed ones, those whose figures were bad, and switches that were taken back by themselves.
GONE_BACK = f"""
SELECT deployment.team_id, deployment.name, count(*)
  FROM deployments_rollout rollout
  JOIN deployments_deployment deployment ON deployment.id = rollout.deployment_id
  JOIN approvals_environment environment ON environment.id = deployment.environment_id
 WHERE rollout.ended_at > clock_timestamp() - make_interval(mins => %(minutes)s)
   AND (rollout.state IN ('failed', 'rolled_back')
        OR rollout.back AND rollout.started_by_id IS NULL)
   AND {NARROWED}
 GROUP BY deployment.id
"""
#: Of fewer requests neither a share nor a percentile says anything.
LEAST = 5
REQUESTS = """
SELECT deployment.team_id, deployment.name, {value}
  FROM deployments_requestrecord request
  JOIN deployments_deployment deployment ON deployment.id = request.deployment_id
  JOIN approvals_environment environment ON environment.id = deployment.environment_id
 WHERE request.at > clock_timestamp() - make_interval(mins => %(minutes)s) AND NOT request.mirrored
   AND {narrowed}
 GROUP BY deployment.id HAVING count(*) >= {least}
"""
FAILED = "count(*) FILTER (WHERE request.status >= 500 OR request.outcome = 'replica_lost')"


def replicas_missing(question: Question) -> Answers:
    """Replicas of the active revision that are wanted and not ready."""
    return ask(REPLICAS, question)


def rollouts_gone_back(question: Question) -> Answers:
    """Roll-outs that ended without success, by themselves."""
    return ask(GONE_BACK, question)


def request_error_percent(question: Question) -> Answers:
    """Share of the requests that failed on our side."""
    return _of_requests(f"100.0 * {FAILED} / count(*)", question)


def request_p95_ms(question: Question) -> Answers:
    """Time to the last byte that 95 of 100 requests stay below."""
    return _of_requests(_p95("total_ms"), question)


def first_token_p95_ms(question: Question) -> Answers:
    """The same to the first token."""
    return _of_requests(_p95("first_token_ms"), question)


def _p95(column: str) -> str:
    return f"percentile_cont(0.95) WITHIN GROUP (ORDER BY request.{column})"


def _of_requests(value: str, question: Question) -> Answers:
    return ask(REQUESTS.format(value=value, narrowed=NARROWED, least=LEAST), question)
