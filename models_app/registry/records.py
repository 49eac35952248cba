"""What is kept about a model and its versions beside their files: record, rebuilds, words."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamQuerySet


class VersionRecord(models.Model):
    """How a version was made, as files that never change."""

    version = models.OneToOneField(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="record"
    )
    #: `{name: {sha256, size}}`: environment.json, code.tar, log.txt, metrics.jsonl.
    files = models.JSONField(default=dict)
    #: The checkpoint that the training began with: job, step, epoch, name, digest, manifest.
    continued_from = models.JSONField(default=dict)
    #: The adapter with whose weights the training began; its base is the version's own, too.
    begun_with = models.ForeignKey(
        "registry.ModelVersion", null=True, blank=True, on_delete=models.PROTECT,
        related_name="taken_further",
    )  # fmt: skip

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("record of a version")

    def __str__(self) -> str:
        return f"record of {self.version}"

    @property
    def team_id(self) -> int:
        return self.version.model.team_id


class Verdict(models.TextChoices):
    """What came of rebuilding a version."""

    PENDING = "pending", _("Rebuilding")
    EQUAL = "equal", _("Equal")
    DIFFERENT = "different", _("Different")
    FAILED = "failed", _("Not rebuilt")


class Reproduction(models.Model):
    """A version was rebuilt from its record alone, to see whether the same comes out."""

    version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="reproductions"
    )
    job = models.OneToOneField(
        "jobs.Job", null=True, on_delete=models.PROTECT, related_name="reproduction"
    )
    verdict = models.CharField(max_length=16, choices=Verdict.choices, default=Verdict.PENDING)
    #: The first thing that differs, in one sentence; empty when nothing does.
    divergence = models.TextField(blank=True)
    #: What was compared, part by part; see registry.reproducing.
    report = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("reproduction")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"reproduction {self.pk} of {self.version}"

    @property
    def team_id(self) -> int:
        return self.version.model.team_id


class CardText(models.Model):
    """The words of a model's card that a person wrote, one row a revision. Figures are not here."""

    model = models.ForeignKey("registry.Model", on_delete=models.PROTECT, related_name="card_texts")
    number = models.PositiveIntegerField()
    license = models.CharField(max_length=80, blank=True)
    #: Languages as ISO 639 codes, and words to find the model by.
    languages = models.JSONField(default=list)
    tags = models.JSONField(default=list)
    #: Markdown.
    body = models.TextField(blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("text of a model card")
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="card_text_number")]

    def __str__(self) -> str:
        return f"card of {self.model}, text {self.number}"

    @property
    def team_id(self) -> int:
        return self.model.team_id
