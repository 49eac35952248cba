"""Experiments: named groups of runs that programs log; and what such a run has beside every run's.

Programs that log by MLflow's protocol (`console/mlflow`) put each run into an experiment of a team.
The run itself is a `TrainingRun` like any other; here stands what only they say of it.
"""

import secrets

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet

#: Where a program puts its runs that names no experiment.
DEFAULT = "Default"
LONGEST_NAME = 250


def new_key() -> str:
    """32 hexadecimal digits, 128 of 128 bits at random."""
    return secrets.token_hex(16)


class Experiment(TeamOwned):
    """A named group of runs of one team. Never renamed, never deleted."""

    name = models.CharField(max_length=LONGEST_NAME)
    #: What its maker noted on it, name -> text.
    tags = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("experiment")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="experiment_name")]

    def __str__(self) -> str:
        return self.name


class LoggedRun(models.Model):
    """A run that a program logs into an experiment; `key` is what the program calls it."""

    run = models.OneToOneField(
        "registry.TrainingRun", primary_key=True, on_delete=models.CASCADE, related_name="logged"
    )
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="runs")
    key = models.CharField(max_length=32, unique=True, default=new_key, editable=False)
    #: When it began and ended by the clock of the program, in milliseconds since 1970.
    started_ms = models.BigIntegerField()
    ended_ms = models.BigIntegerField(null=True)
    #: Data that it says it read, as it came: [{dataset: {name, digest, …}, tags: [{key, value}]}].
    inputs = models.JSONField(default=list)
    #: Models that its program logged: [{id, name, type, status, step, created_ms, tags: {}}].
    #: Their files are files of the run, under `models/<id>/`.
    logged_models = models.JSONField(default=list)
    #: Whole texts of parameters and tags that are too long for theirs: {params: {}, tags: {}}.
    long_texts = models.JSONField(default=dict)

    team_path = "run__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        indexes = [models.Index(fields=["experiment", "-run"], name="logged_run_experiment")]

    def __str__(self) -> str:
        return f"{self.experiment} {self.key}"

    @property
    def team_id(self) -> int:
        return self.run.team_id


class SidePoint(models.Model):
    """A value of a metric beside the one that its step shows: an earlier one of the same step, or
    one that is no number or infinite. It is told to its program.

    `jobs.MetricPoint` has the newest finite value of each step, which the newest figures of a run,
    searches and pictures know. A program that gives no steps logs everything at step 0.
    """

    pk = models.CompositePrimaryKey("run_id", "name", "step", "at", "value")
    run = models.ForeignKey(
        "registry.TrainingRun", on_delete=models.CASCADE, related_name="side_points"
    )
    name = models.CharField(max_length=250)
    step = models.BigIntegerField()
    at = models.DateTimeField()
    value = models.FloatField()
    is_finite = models.BooleanField()

    class Meta:
        verbose_name = _("further value of a step")
        ordering = ["name", "step", "at"]
        indexes = [
            # The newest of a run that are no numbers, among however many others.
            models.Index(
                fields=["run", "name"], name="side_point_odd", condition=models.Q(is_finite=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}[{self.step}]={self.value}"


class RunFile(models.Model):
    """A file that a program has left with its run, by content; the newest of its path."""

    run = models.ForeignKey("registry.TrainingRun", on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    stored_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    stored_at = models.DateTimeField(default=now)

    team_path = "run__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("file of a run")
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="run_file_path")]

    def __str__(self) -> str:
        return f"{self.path} of run {self.run_id}"

    @property
    def team_id(self) -> int:
        return self.run.team_id


def is_shown_tag(name: str) -> bool:
    """Whether a tag is shown in lists: what clients of MLflow note by themselves is not."""
    return not name.startswith("mlflow.")
