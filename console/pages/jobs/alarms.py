"""Alarms of one training on its page: what is wrong, how far, and what to do."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from console.pages.alerts.words import Row, alert_row
from models_app.alerts.selectors import alerts_open
from models_app.jobs.models import Checkpoint, Job

#: What a signal means, said of a training.
TITLES = {
    "training_bad_steps": gettext_noop("Numbers that are not finite"),
    "training_loss_spike": gettext_noop("The loss has jumped"),
    "training_loss_rise": gettext_noop("The loss has gone up and stays up"),
    "training_silence": gettext_noop("No step for much longer than usual"),
    "training_slow_rank": gettext_noop("One process is slower than the others"),
    "training_overfitting": gettext_noop("It overfits"),
}
#: Those after which one goes back to an earlier state.
GO_BACK = {"training_bad_steps", "training_loss_rise", "training_overfitting"}


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One alert, with the checkpoint to go back to where that helps."""

    row: Row
    title: str
    tone: str
    best: Checkpoint | None


def alarms_of(actor: Any, job: Job) -> list[Alarm]:
    """Open alerts about a training, worst first."""
    rows = list(alerts_open(actor=actor, team_id=job.team_id, kind="training", subject=str(job.pk)))
    best = _best(job) if any(row.signal in GO_BACK for row in rows) else None
    return [
        Alarm(
            row=alert_row(row, may_acknowledge=actor.has_perm("alerts.acknowledge_alert", row)),
            title=_(TITLES.get(row.signal, row.rule)),
            tone=_tone(row),
            best=best if row.signal in GO_BACK else None,
        )
        for row in rows
    ]


def _tone(row: Any) -> str:
    if row.state != "firing":
        return "neutral"
    return "red" if row.severity == "critical" else "amber"


def _best(job: Job) -> Checkpoint | None:
    """The kept checkpoint with the lowest validation loss."""
    known = [row for row in job.checkpoints.all() if "validation_loss" in row.metrics]
    return min(known, key=lambda row: float(row.metrics["validation_loss"]), default=None)
