"""The states of a fine-tuning, up to the start of its training.

validating ──its data is ready──▶ started        (from here on its training's job tells)
    ├────────data or settings unfit──▶ failed
    └────────cancel (user)──▶ canceled
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TuningState(models.TextChoices):
    VALIDATING = "validating", _("Looking at the data")
    STARTED = "started", _("Started")
    FAILED = "failed", _("Failed")
    CANCELED = "canceled", _("Cancelled")


ALLOWED: dict[str, set[str]] = {
    TuningState.VALIDATING: {TuningState.STARTED, TuningState.FAILED, TuningState.CANCELED},
    TuningState.STARTED: set(),
    TuningState.FAILED: set(),
    TuningState.CANCELED: set(),
}
