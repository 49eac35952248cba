"""Datasets and their immutable, content-addressed versions."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet
from models_app.datasets.states import QualityState, Shape, VersionState


class Dataset(TeamOwned):
    """A named collection of documents that grows by versions."""

    name = models.CharField(max_length=63)
    description = models.TextField(blank=True)

    class Meta:
        verbose_name = _("dataset")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="dataset_name")]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(models.Model):
    """What an import made: JSONL shards (`{"text": …}` a line) split into train and validation.

    Rows of questions are `{"prompt", "choices", "answer"}` or `{"prompt", "answer"}`, see `shape`;
    all of them are held out.

    `manifest` is `{path: {sha256, size}}` with paths `train/00000.jsonl`, `validation/00000.jsonl`;
    `digest` is its tree digest. Neither changes once the version is ready.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(
        max_length=16, choices=VersionState.choices, default=VersionState.PENDING
    )
    error = models.TextField(blank=True)
    shape = models.CharField(max_length=20, choices=Shape.choices, default=Shape.DOCUMENTS)
    digest = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(default=dict)
    #: What it was made from: file names with sha256 and size, and the import's parameters.
    source = models.JSONField(default=dict)
    #: Documents, characters, bytes and (since it is counted) conversations with answers of each
    #: split, and of all.
    counts = models.JSONField(default=dict)
    preview = models.JSONField(default=list, help_text="The first documents, shortened")
    seed = models.BigIntegerField(default=0)
    validation_fraction = models.FloatField(default=0.1)
    produced_by = models.ForeignKey(
        "jobs.Job", null=True, on_delete=models.PROTECT, related_name="dataset_versions"
    )
    #: What it was prepared from, and by which configuration; an imported version has neither.
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    config_revision = models.ForeignKey(
        "configs.ConfigRevision", null=True, blank=True, on_delete=models.PROTECT,
        related_name="dataset_versions",
    )  # fmt: skip
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "dataset__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("dataset version")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="dataset_version_number"),
            models.CheckConstraint(
                condition=models.Q(state__in=VersionState.values),
                name="dataset_version_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(shape__in=Shape.values), name="dataset_version_shape_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.name} v{self.number}"

    @property
    def team_id(self) -> int:
        return self.dataset.team_id


class QualityPolicy(TeamOwned):
    """One immutable state of the rules of a team; the newest is in force."""

    number = models.PositiveIntegerField()
    spec = models.JSONField()
    digest = models.CharField(max_length=64)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("data policy")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["team", "number"], name="quality_policy_number")
        ]

    def __str__(self) -> str:
        return f"r{self.number}"


class QualityReport(models.Model):
    """What a check has measured. Never changed; `files` is the manifest of its lists of rows."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="reports")
    report = models.JSONField()
    digest = models.CharField(max_length=64)
    files = models.JSONField(default=dict)
    produced_by = models.ForeignKey(
        "jobs.Job", null=True, on_delete=models.PROTECT, related_name="quality_reports"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "version__dataset__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("quality report")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version} #{self.pk}"


class VersionQuality(models.Model):
    """Whether a version may be trained on: its newest report, judged by the policy in force."""

    version = models.OneToOneField(DatasetVersion, on_delete=models.PROTECT, related_name="quality")
    state = models.CharField(
        max_length=16, choices=QualityState.choices, default=QualityState.UNCHECKED
    )
    report = models.ForeignKey(
        QualityReport, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    #: Without one the rules that an installation starts with are in force.
    policy = models.ForeignKey(
        QualityPolicy, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    #: Digest of report and policy together: what a waiver is given for.
    basis = models.CharField(max_length=64, blank=True)
    breaches = models.JSONField(default=list, help_text="Rules that the report breaks")
    changed_at = models.DateTimeField(default=now)

    team_path = "version__dataset__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("data quality")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=QualityState.values), name="quality_state_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.state}"

    @property
    def team_id(self) -> int:
        return self.version.dataset.team_id
