"""From the name of a signal to what is measured; each question is asked once in a round."""

from models_app.alerts.rules import RuleInForce
from models_app.alerts.signals import (
    Answers,
    Question,
    Signal,
    data,
    deployments,
    jobs,
    nodes,
    trainings,
)
from models_app.configs.specs.alerts import MINUTES

MEASURED: dict[str, Signal] = {
    function.__name__: function
    for function in (
        jobs.queue_wait_seconds,
        jobs.jobs_failed,
        jobs.jobs_failed_percent,
        nodes.nodes_unreachable,
        nodes.node_disk_free_percent,
        deployments.replicas_missing,
        deployments.request_error_percent,
        deployments.request_p95_ms,
        deployments.first_token_p95_ms,
        deployments.rollouts_gone_back,
        data.dataset_versions_blocked,
        data.scans_blocked,
        trainings.training_bad_steps,
        trainings.training_loss_spike,
        trainings.training_loss_rise,
        trainings.training_silence,
        trainings.training_slow_rank,
        trainings.training_overfitting,
    )
}


class Measurements:
    """The answers of one round."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Question], Answers] = {}

    def of(self, entry: RuleInForce) -> dict[str, float]:
        """Subject -> value, as far as it is known, for the team of a rule."""
        rule = entry.rule
        question = Question(
            minutes=rule.minutes or MINUTES,
            pool=rule.pool or "",
            deployment=rule.deployment or "",
            kind=rule.kind or "",
            environment=entry.environment,
            besides=entry.besides,
        )
        key = (rule.signal, question)
        if key not in self._known:
            self._known[key] = MEASURED[rule.signal](question)
        return {
            subject: value
            for (team, subject), value in self._known[key].items()
            if team in (None, entry.team_id)
        }
