"""Files that were sent for fine-tuning, and the fine-tunings themselves.

Only what cannot be derived is kept: the data is a dataset version, the outcome a model version,
and how far it has come is told by the job of its training.
"""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.models import TeamOwned
from models_app.finetuning.states import TuningState


def file_key() -> str:
    """A new name of a file, as clients know it."""
    return f"file-{secrets.token_hex(12)}"


def tuning_key() -> str:
    """A new name of a fine-tuning, as clients know it."""
    return f"ftjob-{secrets.token_hex(12)}"


class TuningFile(TeamOwned):
    """A file as it was sent; `version` is what its import makes of one for fine-tuning.

    Requests and answers of batches are kept as they are.
    """

    key = models.CharField(max_length=40, unique=True, default=file_key)
    name = models.CharField(max_length=200)
    purpose = models.CharField(max_length=20)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    version = models.ForeignKey(
        "datasets.DatasetVersion", null=True, on_delete=models.PROTECT, related_name="tuning_files"
    )
    #: Taken back: nobody finds it any more, while what was trained on it keeps its data.
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("file for fine-tuning")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class Tuning(TeamOwned):
    """One fine-tuning: what was asked, and from when on the training it became."""

    key = models.CharField(max_length=40, unique=True, default=tuning_key)
    state = models.CharField(
        max_length=16, choices=TuningState.choices, default=TuningState.VALIDATING
    )
    #: Why it failed before there was a job: code, message, param.
    error = models.JSONField(default=dict, blank=True)
    base_version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="+"
    )
    training_file = models.ForeignKey(TuningFile, on_delete=models.PROTECT, related_name="+")
    validation_file = models.ForeignKey(
        TuningFile, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    #: What is trained on: that of the file, or one of both files with the second held out.
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="tunings"
    )
    #: Name of the model whose next version comes out.
    model_name = models.CharField(max_length=63)
    model_version = models.OneToOneField(
        "registry.ModelVersion", null=True, blank=True, on_delete=models.PROTECT,
        related_name="tuning",
    )  # fmt: skip
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.BigIntegerField()
    #: n_epochs, batch_size, learning_rate_multiplier, lora_rank: as asked, "auto" or a number.
    asked = models.JSONField(default=dict)
    #: The same with what "auto" came to, once the data is known.
    chosen = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("fine-tuning")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=TuningState.values), name="tuning_state_known"
            )
        ]
        indexes = [
            models.Index(
                fields=["id"],
                name="tuning_validating",
                condition=models.Q(state=TuningState.VALIDATING),
            )
        ]

    def __str__(self) -> str:
        return self.key
