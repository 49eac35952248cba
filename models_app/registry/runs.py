"""Training runs: what a search looks at. The work itself is the job; its metrics are the job's.

A row is written once, with the job; nothing in it changes but the name, where a program elsewhere
gives its run another one. What changes (state, metrics, tags) lies where it is written anyway:
`jobs.Job`, `jobs.MetricLatest`, `registry.Tag`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamQuerySet

#: Kinds of jobs that are training runs: those that workers do, and those that run elsewhere.
TRAIN, EXTERNAL = "train", "external"
RUN_KINDS = (TRAIN, EXTERNAL)
#: Texts of parameters are kept and compared up to here.
LONGEST_TEXT = 500


class TrainingRun(models.Model):
    """One training, here or elsewhere, with what it was given."""

    job = models.OneToOneField(
        "jobs.Job", primary_key=True, on_delete=models.CASCADE, related_name="run"
    )
    team = models.ForeignKey("access.Team", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    model = models.ForeignKey(
        "registry.Model", null=True, on_delete=models.PROTECT, related_name="runs"
    )
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", null=True, on_delete=models.PROTECT, related_name="runs"
    )
    #: The same as `dataset_version.dataset`, so that one index finds all runs of a dataset.
    dataset = models.ForeignKey(
        "datasets.Dataset", null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("training run")
        ordering = ["-job_id"]
        indexes = [
            models.Index(fields=["team", "-job"], name="run_team"),
            models.Index(fields=["dataset", "-job"], name="run_dataset"),
            models.Index(fields=["model", "-job"], name="run_model"),
            models.Index(fields=["created_by", "-job"], name="run_author"),
            models.Index(fields=["created_at"], name="run_created"),
        ]

    def __str__(self) -> str:
        return self.name


class RunParam(models.Model):
    """One parameter of a run: a number, or a text where it is none."""

    pk = models.CompositePrimaryKey("run_id", "name")
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="params")
    name = models.CharField(max_length=250)
    number = models.FloatField(null=True)
    text = models.CharField(max_length=LONGEST_TEXT, blank=True)

    class Meta:
        verbose_name = _("parameter of a run")
        ordering = ["name"]
        indexes = [
            models.Index(
                fields=["name", "number", "run"],
                name="run_param_number",
                condition=models.Q(number__isnull=False),
            ),
            models.Index(fields=["name", "text", "run"], name="run_param_text"),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.text}"


def params_of(settings_: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as `architecture.n_layer`, each a number or a text."""
    for name, value in settings_.items():
        if isinstance(value, Mapping):
            yield from params_of(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def param_row(run_id: int, name: str, value: Any) -> RunParam:
    """A parameter as it is stored; true, false and lists are texts, as in the settings."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    written = isinstance(value, bool | list)
    text = json.dumps(value, ensure_ascii=False) if written else str(value)
    number = float(value) if is_number and abs(value) < 1e300 else None
    return RunParam(run_id=run_id, name=name[:250], number=number, text=text[:LONGEST_TEXT])
