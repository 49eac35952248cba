"""The model servers of a revision."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamQuerySet
from models_app.deployments.models.deployment import Revision
from models_app.deployments.states import ReplicaState


class Replica(models.Model):
    """One model server: a serve job that lives, and where it listens."""

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="replica_set")
    job = models.OneToOneField(
        "jobs.Job", null=True, on_delete=models.PROTECT, related_name="replica"
    )
    state = models.CharField(
        max_length=16, choices=ReplicaState.choices, default=ReplicaState.PENDING
    )
    host = models.CharField(max_length=120, blank=True)
    port = models.PositiveIntegerField(null=True, blank=True)
    #: The epoch of the job that listens there: an older server is never asked.
    epoch = models.PositiveIntegerField(default=0)
    #: What it said last: {loaded: {name: version id}, failed: {name: [version id, reason]}}.
    adapters = models.JSONField(default=dict)
    restarts = models.PositiveIntegerField(default=0)
    ready_at = models.DateTimeField(null=True, blank=True)
    drain_started_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "revision__deployment__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("replica")
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=ReplicaState.values), name="replica_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"replica {self.pk} of {self.revision}"

    @property
    def team_id(self) -> int:
        return self.revision.deployment.team_id
