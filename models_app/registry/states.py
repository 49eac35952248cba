"""The states of a model version.

    pending ──training job succeeds──▶ ready ⇄ quarantined (by an admin, with a reason)
       └──────training job fails─────▶ failed

Only a ready version can be evaluated or deployed, and none is quarantined while it serves. The
files of a version never change.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class VersionState(models.TextChoices):
    PENDING = "pending", _("Training")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    QUARANTINED = "quarantined", _("Quarantined")


ALLOWED: dict[str, set[str]] = {
    VersionState.PENDING: {VersionState.READY, VersionState.FAILED},
    VersionState.READY: {VersionState.QUARANTINED},
    VersionState.QUARANTINED: {VersionState.READY},
    VersionState.FAILED: set(),
}


class Family(models.TextChoices):
    """The closed list of model families. An adapter's versions are small and need their base."""

    TRANSFORMER = "transformer", _("Transformer")
    ADAPTER = "adapter", _("Adapter (LoRA)")
