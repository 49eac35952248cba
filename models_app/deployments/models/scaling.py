"""Why a deployment has as many replicas as it has."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.deployments.models.deployment import Deployment


class ScalingEvent(models.Model):
    """One change of the wanted number of replicas, with what it was decided by."""

    id = models.BigAutoField(primary_key=True)
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="scaling_events"
    )
    at = models.DateTimeField(default=now)
    before = models.PositiveSmallIntegerField()
    after = models.PositiveSmallIntegerField()
    #: `hand`, `load`, `latency`, `hours`, `idle`, `wake`, `bounds`.
    cause = models.CharField(max_length=20)
    figures = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("scaling event")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.before} → {self.after} ({self.cause})"
