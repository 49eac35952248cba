"""Reproduction drills: versions that people rely on are rebuilt by the clock, to prove the record.

Whether a team wants that, and how often, is its plan; each drill says what was rebuilt and what
could not be.
"""

import datetime as dt

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamQuerySet


class DrillPlan(models.Model):
    """Whether a team's versions are rebuilt by the clock. A team without a row has no drills."""

    team = models.OneToOneField("access.Team", on_delete=models.PROTECT, related_name="+")
    is_on = models.BooleanField(default=False)
    #: Days between drills; None: as the installation has it.
    days = models.PositiveSmallIntegerField(null=True)
    #: When the last one was begun, by the clock of the database.
    fired_at = models.DateTimeField(null=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    changed_at = models.DateTimeField(default=now)

    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("plan of drills")

    def __str__(self) -> str:
        return f"drills of {self.team}"

    @property
    def period_days(self) -> int:
        """Days between drills; 0: there are none."""
        return (self.days or settings.DRILL_DAYS) if self.is_on and settings.DRILL_DAYS else 0

    @property
    def due_at(self) -> dt.datetime | None:
        """When the next one is due, where one was held and others follow."""
        if not self.period_days or self.fired_at is None:
            return None
        return self.fired_at + dt.timedelta(days=self.period_days)


class Drill(models.Model):
    """One drill: the version that it rebuilds, and those that it passed over."""

    team = models.ForeignKey("access.Team", on_delete=models.PROTECT, related_name="+")
    #: Empty where there was nothing that could be rebuilt.
    reproduction = models.OneToOneField(
        "registry.Reproduction", null=True, on_delete=models.PROTECT, related_name="drill"
    )
    #: `[{version, name, why}]`: what would have come before, and why it cannot be rebuilt.
    passed_over = models.JSONField(default=list)
    created_at = models.DateTimeField(default=now, editable=False)

    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("drill")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"drill {self.pk}"
