"""Trainings that only report: what a worker would store of them, by the same services."""

from collections.abc import Callable, Mapping
from typing import Any

from models_app.core.clock import stamp
from models_app.jobs.attempts import job_fail, job_finish, job_stopped
from models_app.jobs.claims import job_claim
from models_app.jobs.metrics import metrics_append
from models_app.jobs.models import Job
from models_app.jobs.states import HELD, JobState
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.states import TRIAL_OPEN
from tests.factories.jobs import placed

#: (settings of the trial, step) -> validation loss; None: it diverges here.
Curve = Callable[[Mapping[str, Any], int], float | None]


class Workers:
    """As many slots as are needed: every training of a sweep gets `every` steps further at once."""

    def __init__(self, sweep: Sweep, curve: Curve, *, every: int, metric: str = "validation_loss"):
        self.sweep, self.curve, self.every, self.metric = sweep, curve, every, metric
        self.most = sweep.max_resource or every
        self.steps: dict[int, int] = {}

    def work(self) -> None:
        """One stretch of every training that is not over."""
        for trial in self.sweep.trials.filter(state__in=TRIAL_OPEN, version__isnull=False):
            self._train(trial)

    def _train(self, trial: Trial) -> None:
        job = trial.job
        if job.state in (JobState.PENDING, JobState.SCHEDULED):
            job = job_claim(worker="test", node="test", job_id=placed(job, "test").pk)
        if job is None or job.state not in HELD:
            return
        if job.state == JobState.CANCELING:
            job_stopped(job=job, attempt={})
            return
        step = self.steps[trial.number] = self.steps.get(trial.number, 0) + self.every
        value = self.curve(trial.values, step)
        if value is None:
            job_fail(job=job, code="diverged", message=f"The loss is NaN at step {step}.",
                     permanent=True, attempt={})  # fmt: skip
            return
        metrics_append(job=job, points=[(self.metric, step, value, stamp())])
        if step >= self.most:
            self.finish(job, value)

    def finish(self, job: Job, value: float) -> None:
        """The training is over, with this value as its last."""
        result = {"manifest": {}, "facts": {}, "metrics": {self.metric: value}}
        job_finish(job=job, result=result, attempt={})

    @property
    def total_steps(self) -> int:
        """What all trainings did together."""
        return sum(self.steps.values())
