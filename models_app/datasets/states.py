"""The states of a dataset version.

pending ──import job succeeds──▶ ready
   └─────import job fails──────▶ failed      (nothing half-made is ever ready)
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class VersionState(models.TextChoices):
    PENDING = "pending", _("Importing")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")


ALLOWED: dict[str, set[str]] = {
    VersionState.PENDING: {VersionState.READY, VersionState.FAILED},
    VersionState.READY: set(),
    VersionState.FAILED: set(),
}
