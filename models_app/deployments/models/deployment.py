"""Deployments and their immutable revisions."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from models_app.configs.specs import ServingSpec
from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet
from models_app.deployments.states import RevisionState


class Deployment(TeamOwned):
    """A name that clients ask (`team/name`), served by the active revision."""

    name = models.CharField(max_length=63)
    environment = models.ForeignKey(
        "approvals.Environment", on_delete=models.PROTECT, related_name="deployments"
    )
    description = models.TextField(blank=True)
    #: The revision that answers. The gateway routes to nothing else.
    active_revision = models.ForeignKey(
        "Revision", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    stopped_at = models.DateTimeField(null=True, blank=True)
    #: How many replicas scaling wants now; null: as many as the active revision says.
    scaled_to = models.PositiveSmallIntegerField(null=True, blank=True)
    #: Since when there has been too much to do without a break, and since when fewer would do.
    over_since = models.DateTimeField(null=True, blank=True)
    calm_since = models.DateTimeField(null=True, blank=True)
    #: People want at least so many until then.
    held_at = models.PositiveSmallIntegerField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("deployment")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="deployment_name")]

    def __str__(self) -> str:
        return self.name


class Revision(models.Model):
    """A model version with a serving configuration, immutable. `digest` binds
    version, configuration, deployment, environment and replicas: it is what people approve.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    state = models.CharField(
        max_length=20, choices=RevisionState.choices, default=RevisionState.DRAFT
    )
    model_version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="revisions"
    )
    config_revision = models.ForeignKey(
        "configs.ConfigRevision", on_delete=models.PROTECT, related_name="revisions"
    )
    #: What its environment changed of the configuration when it was made, and what came out.
    overlay_revision = models.ForeignKey(
        "configs.OverlayRevision",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="revisions",
    )
    overlaid_spec = models.JSONField(null=True, blank=True)
    replicas = models.PositiveSmallIntegerField(default=1, help_text="How many it wants")
    digest = models.CharField(max_length=64)
    reason = models.TextField(blank=True)
    error = models.TextField(blank=True)
    approval = models.ForeignKey(
        "approvals.ApprovalRequest",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    rollout_started_at = models.DateTimeField(null=True, blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)
    #: Its replicas stay warm until then, so that a roll-back takes seconds.
    keep_until = models.DateTimeField(null=True, blank=True)

    team_path = "deployment__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("revision")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="revision_number"),
            models.UniqueConstraint(
                fields=["deployment"],
                condition=Q(state=RevisionState.ACTIVE),
                name="revision_active_once",
            ),
            models.UniqueConstraint(
                fields=["deployment"],
                condition=Q(state=RevisionState.ROLLING_OUT),
                name="revision_rolling_out_once",
            ),
            models.CheckConstraint(
                condition=Q(state__in=RevisionState.values), name="revision_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment.name} r{self.number}"

    @property
    def spec_in_effect(self) -> dict[str, Any]:
        """The settings it runs with: the configuration, with the overlay of the environment."""
        whole = self.overlaid_spec if self.overlaid_spec is not None else self.config_revision.spec
        return dict(whole)

    @property
    def serving(self) -> ServingSpec:
        """The settings in effect, typed; what was added to them later has its default."""
        return ServingSpec.model_validate(self.spec_in_effect)

    @property
    def settings_from(self) -> str:
        """Which revisions decide its settings: `small r3`, or `small r3 + production o2`."""
        overlay = self.overlay_revision
        base = str(self.config_revision)
        return f"{base} + {overlay.environment} o{overlay.number}" if overlay else base

    @property
    def team_id(self) -> int:
        return self.deployment.team_id


class RevisionAdapter(models.Model):
    """An adapter that a revision serves beside its base, asked for as `team/deployment:name`."""

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="adapters")
    name = models.CharField(max_length=63)
    model_version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="served_as_adapter"
    )

    class Meta:
        verbose_name = _("served adapter")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["revision", "name"], name="revision_adapter_name"),
        ]

    def __str__(self) -> str:
        return f"{self.revision}:{self.name}"
