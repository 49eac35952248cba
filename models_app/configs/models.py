"""Configurations as numbered, immutable revisions."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet


class Config(TeamOwned):
    """A named configuration of one kind (`training`, `ngram`, …)."""

    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=63)

    class Meta:
        verbose_name = _("configuration")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "kind", "name"], name="config_name")]

    def __str__(self) -> str:
        return self.name


class ConfigRevision(models.Model):
    """One immutable state of a configuration. The same content is never stored twice in a row."""

    config = models.ForeignKey(Config, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    digest = models.CharField(max_length=64)
    reason = models.CharField(max_length=200, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "config__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("configuration revision")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["config", "number"], name="config_revision_number")
        ]

    def __str__(self) -> str:
        return f"{self.config.name} r{self.number}"

    @property
    def team_id(self) -> int:
        return self.config.team_id


class OverlayRevision(models.Model):
    """What one environment changes of a configuration, as an immutable, numbered merge patch.

    An empty patch changes nothing any more; it is how an overlay is taken back.
    """

    config = models.ForeignKey(Config, on_delete=models.PROTECT, related_name="overlays")
    environment = models.CharField(max_length=63)
    number = models.PositiveIntegerField()
    patch = models.JSONField()
    digest = models.CharField(max_length=64)
    reason = models.CharField(max_length=200)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "config__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("overlay revision")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["config", "environment", "number"], name="config_overlay_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.config.name} {self.environment} o{self.number}"

    @property
    def team_id(self) -> int:
        return self.config.team_id
