"""The states of a dataset version.

pending ──import job succeeds──▶ ready
   └─────import job fails──────▶ failed      (nothing half-made is ever ready)

The quality of a ready one, judged by the policy of its team:

unchecked ──report keeps the rules──▶ passed
   └──────breaks one that blocks────▶ blocked ──approved by others──▶ waived
A new report or a new policy judges it again.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class VersionState(models.TextChoices):
    PENDING = "pending", _("Importing")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")


class Shape(models.TextChoices):
    """What a row of a dataset is. Questions are for evaluations; nothing is trained on them."""

    DOCUMENTS = "documents", _("Documents")
    MULTIPLE_CHOICE = "multiple_choice", _("Questions with choices")
    EXACT_MATCH = "exact_match", _("Questions with one answer")


ALLOWED: dict[str, set[str]] = {
    VersionState.PENDING: {VersionState.READY, VersionState.FAILED},
    VersionState.READY: set(),
    VersionState.FAILED: set(),
}


class QualityState(models.TextChoices):
    UNCHECKED = "unchecked", _("Not checked")
    PASSED = "passed", _("Passed")
    BLOCKED = "blocked", _("Blocked")
    WAIVED = "waived", _("Waived")


Q = QualityState
QUALITY_ALLOWED: dict[str, set[str]] = {
    Q.UNCHECKED: {Q.PASSED, Q.BLOCKED},
    Q.PASSED: {Q.BLOCKED},
    Q.BLOCKED: {Q.PASSED, Q.WAIVED},
    Q.WAIVED: {Q.BLOCKED, Q.PASSED},
}
