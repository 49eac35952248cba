"""Models, their immutable versions with provenance, and evaluations."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet
from models_app.registry.aliases import Alias, AliasMove
from models_app.registry.runs import EXTERNAL, RunParam, TrainingRun
from models_app.registry.scan_rules import Verdict
from models_app.registry.stages import StageMove
from models_app.registry.states import Family, Stage, Task, VersionState
from models_app.registry.tags import Tag


class Model(TeamOwned):
    """A named language model of a team; what is trained and deployed are its versions."""

    name = models.CharField(max_length=63)
    family = models.CharField(max_length=20, choices=Family.choices, default=Family.TRANSFORMER)
    description = models.TextField(blank=True)

    class Meta:
        verbose_name = _("model")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="model_name")]

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """One trained state of a model: files by content, and where they came from.

    `manifest` is `{path: {sha256, size}}` (safetensors, JSON, plain text); `digest` identifies it.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(
        max_length=16, choices=VersionState.choices, default=VersionState.PENDING
    )
    stage = models.CharField(max_length=16, choices=Stage.choices, default=Stage.NONE)
    error = models.TextField(blank=True)
    notes = models.TextField(blank=True)
    digest = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(default=dict)
    size_bytes = models.BigIntegerField(default=0)
    #: What the files are: see `formats.py`. Everything trained is safetensors.
    format = models.CharField(max_length=32, default="safetensors")
    #: Shape of the model: parameters, layers, width, context, vocabulary, tokenizer kind.
    facts = models.JSONField(default=dict)
    #: Final metrics of the training (loss, validation_loss, tokens, seconds, …).
    metrics = models.JSONField(default=dict)
    # Provenance.
    produced_by = models.ForeignKey(
        "jobs.Job", null=True, on_delete=models.PROTECT, related_name="model_versions"
    )
    #: The import that brings or brought the files of a run elsewhere, which then produced it.
    filled_by = models.ForeignKey(
        "jobs.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="filled_versions"
    )
    #: Of a registration: the Idempotency-Key that it came with, and the digest of what it asked.
    request_key = models.CharField(max_length=200, null=True, blank=True)
    request_digest = models.CharField(max_length=64, blank=True)
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion",
        null=True,
        on_delete=models.PROTECT,
        related_name="model_versions",
    )
    config_revision = models.ForeignKey(
        "configs.ConfigRevision", null=True, on_delete=models.PROTECT, related_name="model_versions"
    )
    base_version = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="derived"
    )
    #: The version of which this one is another format; `base_version` is of trainings.
    source_version = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="formats"
    )
    code_version = models.CharField(max_length=80, blank=True)
    environment = models.JSONField(default=dict)
    seed = models.BigIntegerField(null=True)
    #: Of an imported version: where its files came from, each with its digest; never a secret.
    source = models.JSONField(default=dict, blank=True)
    log_digest = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    ready_at = models.DateTimeField(null=True, blank=True)

    team_path = "model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("model version")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="model_version_number"),
            models.UniqueConstraint(
                fields=["model", "request_key"], name="model_version_request_key"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=VersionState.values), name="model_version_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(stage__in=Stage.values), name="model_version_stage_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["model", "stage"],
                name="model_version_staged",
                condition=~models.Q(stage=Stage.NONE),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} v{self.number}"

    @property
    def team_id(self) -> int:
        return self.model.team_id

    @property
    def waits_for_files(self) -> bool:
        """Whether it was registered for a run elsewhere, whose files are not here yet."""
        made = self.produced_by
        return self.state == VersionState.PENDING and made is not None and made.kind == EXTERNAL

    @property
    def continued_from(self) -> dict[str, Any]:
        """The checkpoint of another run that its training began with, or nothing."""
        record = getattr(self, "record", None)
        return record.continued_from if record else {}

    @property
    def begun_with(self) -> "ModelVersion | None":
        """The adapter with whose weights its training began, or None."""
        record = getattr(self, "record", None)
        return record.begun_with if record else None


class VersionScan(models.Model):
    """One look into the files of a version. A version has one for each time that it was scanned."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="scans")
    #: The job that looked; one that brings an adapter with its base looks into both.
    produced_by = models.ForeignKey(
        "jobs.Job", on_delete=models.PROTECT, related_name="version_scans"
    )
    #: The rules that there were, by their number, and the code that applied them.
    ruleset = models.PositiveIntegerField()
    scanner = models.CharField(max_length=80, blank=True)
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    #: Findings, worst first, and what kind of file each was found to be.
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("scan")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "produced_by"], name="version_scan_once")
        ]

    def __str__(self) -> str:
        return f"Scan of {self.version}"

    @property
    def team_id(self) -> int:
        return self.version.model.team_id


class ImportToken(models.Model):
    """The token of a hub, sealed, for as long as the import from it goes on."""

    version = models.OneToOneField(
        ModelVersion, primary_key=True, on_delete=models.CASCADE, related_name="import_token"
    )
    sealed = models.TextField()
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("import token")

    def __str__(self) -> str:
        return f"Token for the import of {self.version}"


class Evaluation(models.Model):
    """Scores of a version on a dataset version; the blob `scores_sha256` has a row a document."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evaluations")
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="evaluations"
    )
    split = models.CharField(max_length=16, default="validation")
    task = models.CharField(max_length=20, choices=Task.choices, default=Task.PERPLEXITY)
    produced_by = models.OneToOneField(
        "jobs.Job", on_delete=models.PROTECT, related_name="evaluation"
    )
    #: perplexity, bits_per_byte, nats_per_token, tokens, bytes, documents; of other tasks accuracy,
    #: documents, and how was asked.
    metrics = models.JSONField(default=dict)
    scores_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("evaluation")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(task__in=Task.values), name="evaluation_task_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version} on {self.dataset_version}"

    @property
    def team_id(self) -> int:
        return self.version.model.team_id


class Conversion(models.Model):
    """A version written in another format, with how far it is from its source.

    `output` is made with the conversion and gets ready only when `report` keeps every limit of
    `gate`; otherwise it fails, has no files, and the report stays here.
    """

    source = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="conversions")
    source_digest = models.CharField(max_length=64)
    output = models.OneToOneField(ModelVersion, on_delete=models.PROTECT, related_name="conversion")
    #: Name in the catalogue of formats, and the precision within it.
    format = models.CharField(max_length=32)
    precision = models.CharField(max_length=16)
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", null=True, on_delete=models.PROTECT, related_name="conversions"
    )
    #: Measure -> {limit, default}: what differs was chosen by whoever started it.
    gate = models.JSONField(default=dict)
    job = models.OneToOneField(
        "jobs.Job", null=True, on_delete=models.PROTECT, related_name="conversion"
    )
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    team_path = "source__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversion")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.source} as {self.target}"

    @property
    def target(self) -> str:
        """Format and precision, such as `gguf q8_0`; `int8` says both."""
        same = self.format == self.precision
        return self.format if same else f"{self.format} {self.precision}"

    @property
    def team_id(self) -> int:
        return self.source.model.team_id

    @property
    def passed(self) -> bool | None:
        """Whether every limit was kept; None as long as nothing was measured."""
        return self.report.get("passed") if self.report else None


# Django finds the tables of an app through this module.
from models_app.registry.attacks import AttackRun  # noqa: E402
from models_app.registry.drafts import Draft  # noqa: E402
from models_app.registry.drills import Drill, DrillPlan  # noqa: E402
from models_app.registry.experiments import Experiment, LoggedRun, RunFile, SidePoint  # noqa: E402
from models_app.registry.origins import VersionOrigin  # noqa: E402
from models_app.registry.records import CardText, Reproduction, VersionRecord  # noqa: E402

__all__ = [
    "Alias", "AliasMove", "AttackRun", "CardText", "Conversion", "Draft", "Drill", "DrillPlan",
    "Evaluation", "Experiment", "ImportToken", "LoggedRun", "Model", "ModelVersion", "Reproduction",
    "RunFile", "RunParam", "SidePoint", "StageMove", "Tag", "TrainingRun", "VersionOrigin",
    "VersionRecord", "VersionScan",
]  # fmt: skip
