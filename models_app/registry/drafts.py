"""Drafts: what pushes to a model, or to one version that waits for its files, have brought."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now


class Draft(models.Model):
    """The tree that pushes to a model have brought so far; each push builds on it.

    A push that leaves a whole model makes a version of this tree; one that does not (weights
    without their tokenizer) only changes the draft. With `version` it is the tree of that version
    alone, which waits for its files, and goes when they are there.
    """

    model = models.ForeignKey("registry.Model", on_delete=models.CASCADE, related_name="drafts")
    version = models.OneToOneField(
        "registry.ModelVersion", null=True, on_delete=models.CASCADE, related_name="draft"
    )
    manifest = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    changed_at = models.DateTimeField(default=now)

    class Meta:
        verbose_name = _("draft")
        constraints = [
            models.UniqueConstraint(
                fields=["model"], condition=models.Q(version=None), name="draft_of_model"
            ),
        ]

    def __str__(self) -> str:
        return f"draft of {self.version or self.model.name}"
