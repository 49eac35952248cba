"""The audit log: one row for every change, written in the same transaction, never altered."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.audit.actions import action_label
from models_app.core.clock import now
from models_app.core.models import TeamQuerySet


class AuditEvent(models.Model):
    """Who did what to which thing, when, from where. A trigger refuses UPDATE and DELETE."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=now, editable=False, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    actor_label = models.CharField(max_length=254)
    token_prefix = models.CharField(max_length=16, blank=True)
    via = models.CharField(max_length=16)
    ip = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    #: `noun.past_participle`, such as `job.submitted`.
    action = models.CharField(max_length=64, db_index=True)
    team = models.ForeignKey("access.Team", null=True, on_delete=models.PROTECT, related_name="+")
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    object_label = models.CharField(max_length=254)
    changes = models.JSONField(default=dict)

    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        ordering = ["-id"]
        indexes = [models.Index(fields=["object_type", "object_id"], name="audit_object")]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.action} {self.object_label}"

    @property
    def action_label(self) -> str:
        return action_label(self.action)
