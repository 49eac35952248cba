"""Batches: what was asked of which version, and the files with the answers.

How far one has come is told by its job; only what cannot be derived is kept.
"""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.models import TeamOwned


def batch_key() -> str:
    """A new name of a batch, as clients know it."""
    return f"batch_{secrets.token_hex(12)}"


class Batch(TeamOwned):
    """Requests of a file, or made of the rows of a dataset, for one version."""

    key = models.CharField(max_length=40, unique=True, default=batch_key)
    endpoint = models.CharField(max_length=40)
    #: The public name that was asked for; what it meant at that time stands below.
    model = models.CharField(max_length=200)
    deployment = models.ForeignKey(
        "deployments.Deployment", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    revision = models.ForeignKey(
        "deployments.Revision", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    model_version = models.ForeignKey(
        "registry.ModelVersion", null=True, blank=True, on_delete=models.PROTECT,
        related_name="batches",
    )  # fmt: skip
    input_file = models.ForeignKey(
        "finetuning.TuningFile", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", null=True, blank=True, on_delete=models.PROTECT,
        related_name="batches",
    )  # fmt: skip
    split = models.CharField(max_length=20, blank=True)
    #: Of a dataset: the body of each request, in which {text} stands for the row's text.
    template = models.JSONField(default=dict, blank=True)
    #: Of a dataset: the name of the dataset whose next version the answers become.
    answers_dataset = models.CharField(max_length=63, blank=True)
    answers_version = models.ForeignKey(
        "datasets.DatasetVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    total = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    output_file = models.ForeignKey(
        "finetuning.TuningFile", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    error_file = models.ForeignKey(
        "finetuning.TuningFile", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    #: Why there is no job: [{code, line, message, param}].
    errors = models.JSONField(default=list, blank=True)
    job = models.OneToOneField(
        "jobs.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="batch"
    )
    metadata = models.JSONField(default=dict, blank=True)
    expires_at = models.DateTimeField()
    #: The answers there are have become files: at the end, or after it was stopped.
    collected_at = models.DateTimeField(null=True, blank=True)
    #: The key it came with, and the digest of what was asked with it.
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)
    asked_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("batch")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "idempotency_key"], name="batch_key"),
        ]
        indexes = [
            models.Index(
                fields=["id"], name="batch_uncollected", condition=models.Q(collected_at=None)
            )
        ]

    def __str__(self) -> str:
        return self.key
