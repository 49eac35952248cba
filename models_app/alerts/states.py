"""The states of an alert.

    (condition holds) ─▶ pending ─held for the rule's time─▶ firing ─▶ resolved
                            │                                  └─acknowledge (person)─▶
                            └─no longer holds─▶ (gone)           acknowledged ─▶ resolved

Only the evaluation fires and resolves; a person only says that somebody looks after it. What never
fired was told to nobody and leaves nothing behind.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class AlertState(models.TextChoices):
    PENDING = "pending", pgettext_lazy("alert", "Pending")
    FIRING = "firing", _("Firing")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    RESOLVED = "resolved", _("Resolved")


S = AlertState
ALLOWED: dict[str, set[str]] = {
    S.PENDING: {S.FIRING},
    S.FIRING: {S.ACKNOWLEDGED, S.RESOLVED},
    S.ACKNOWLEDGED: {S.RESOLVED},
    S.RESOLVED: set(),
}


class Severity(models.TextChoices):
    CRITICAL = "critical", _("Critical")
    WARNING = "warning", _("Warning")
    INFO = "info", _("Information")


class Ending(models.TextChoices):
    """Why an alert is over."""

    CLEARED = "cleared", _("The condition no longer holds")
    NO_DATA = "no_data", _("Nothing is measured any more")
    RULE_GONE = "rule_gone", _("The rule is no longer in the configuration")
