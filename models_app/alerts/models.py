"""Alerts that rules have raised."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from models_app.alerts.states import AlertState, Ending, Severity
from models_app.configs.specs.alerts import SIGNALS
from models_app.core.models import TeamQuerySet


class Alert(models.Model):
    """One rule's condition that holds, or held, for one subject; all times by the database.

    What the rule said is kept with it: the configuration may say something else by now.
    """

    team = models.ForeignKey("access.Team", on_delete=models.PROTECT, related_name="+")
    config = models.ForeignKey("configs.Config", on_delete=models.PROTECT, related_name="+")
    revision = models.ForeignKey(
        "configs.ConfigRevision", on_delete=models.PROTECT, related_name="alerts"
    )
    overlay = models.ForeignKey(
        "configs.OverlayRevision", null=True, on_delete=models.PROTECT, related_name="+"
    )
    rule = models.CharField(max_length=63)
    signal = models.CharField(max_length=40)
    #: Name of the pool, deployment, kind of job, dataset or model that it is about.
    subject = models.CharField(max_length=120)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    state = models.CharField(max_length=16, choices=AlertState.choices, default=AlertState.PENDING)
    ended_by = models.CharField(max_length=12, choices=Ending.choices, blank=True)
    value = models.FloatField(help_text="As measured last while it was open")
    threshold = models.FloatField()
    above = models.BooleanField(help_text="Whether values above the threshold are the bad ones")
    note = models.CharField(max_length=500, blank=True)
    #: Since when the condition holds without a break; since when it no longer does.
    since = models.DateTimeField()
    clear_since = models.DateTimeField(null=True)
    measured_at = models.DateTimeField()
    fired_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True, db_index=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=AlertState.values), name="alert_state_known"
            ),
            models.UniqueConstraint(
                fields=["config", "rule", "subject"],
                condition=~Q(state=AlertState.RESOLVED),
                name="alert_open_once",
            ),
        ]
        indexes = [
            models.Index(fields=["team", "-id"], name="alert_team"),
            models.Index(
                fields=["team", "severity"], name="alert_firing",
                condition=Q(state=AlertState.FIRING),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}"

    @property
    def subject_kind(self) -> str:
        """What the subject is the name of; empty for a signal that is no longer known."""
        signal = SIGNALS.get(self.signal)
        return signal.subject if signal else ""
