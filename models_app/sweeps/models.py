"""Sweeps and their trials. What a trial is, its training says; here stands why it was begun."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet
from models_app.registry.families import spec_kind
from models_app.sweeps.halving import rungs
from models_app.sweeps.measures import RESOURCES, Measure, measures_of
from models_app.sweeps.states import Ending, Strategy, SweepState, TrialState


class Sweep(TeamOwned):
    """A search for settings of a model. `base` is a whole specification, `space` what varies.

    `space` is `{setting: {values} | {low, high, log?, step?, points?}}`; see `space.py`.
    """

    model = models.ForeignKey("registry.Model", on_delete=models.PROTECT, related_name="sweeps")
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="+"
    )
    base_version = models.ForeignKey(
        "registry.ModelVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    #: The revision that `base` was taken from, if it was.
    config_revision = models.ForeignKey(
        "configs.ConfigRevision", null=True, on_delete=models.PROTECT, related_name="+"
    )
    base = models.JSONField()
    space = models.JSONField()
    strategy = models.CharField(max_length=10, choices=Strategy.choices)
    metric = models.CharField(max_length=60)
    max_trials = models.PositiveIntegerField()
    parallel = models.PositiveSmallIntegerField(help_text="Most trials at the same time")
    seed = models.BigIntegerField(default=0, help_text="Of the choice of settings")
    #: Early stopping: steps of the first rung, and which share goes on at each; null: none.
    min_resource = models.PositiveIntegerField(null=True)
    reduction_factor = models.PositiveSmallIntegerField(null=True)
    state = models.CharField(max_length=12, choices=SweepState.choices, default=SweepState.RUNNING)
    reason = models.TextField(blank=True, help_text="Why it ended so")
    note = models.CharField(max_length=200, blank=True, help_text="What it is for")
    priority = models.SmallIntegerField(default=0)
    pool = models.CharField(max_length=60, blank=True)
    resources = models.JSONField(default=dict)
    request_key = models.CharField(max_length=200, null=True)
    request_digest = models.CharField(max_length=64, blank=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("sweep")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=SweepState.values), name="sweep_state_known"
            ),
            models.CheckConstraint(
                condition=Q(min_resource__isnull=True, reduction_factor__isnull=True)
                | Q(min_resource__gte=1, reduction_factor__gte=2),
                name="sweep_rungs_whole",
            ),
            models.UniqueConstraint(fields=["team", "request_key"], name="sweep_request_key"),
        ]
        indexes = [models.Index(fields=["team", "-id"], name="sweep_team")]

    def __str__(self) -> str:
        return f"sweep {self.pk}"

    @property
    def kind(self) -> str:
        """The kind of configuration of its trainings."""
        return spec_kind(self.model.family)

    @property
    def measure(self) -> Measure:
        """How its metric is read."""
        return measures_of(self.kind)[self.metric]

    @property
    def resource(self) -> str:
        """What the length of a trial is counted in; empty where trials have none."""
        return RESOURCES.get(self.kind, "")

    @property
    def max_resource(self) -> int | None:
        """How long a trial is that nothing stops."""
        return int(self.base[self.resource]) if self.resource else None

    @property
    def rungs(self) -> list[int]:
        """The steps at which its trials are compared; none without early stopping."""
        if self.min_resource is None or self.reduction_factor is None:
            return []
        return rungs(self.min_resource, self.max_resource or 0, self.reduction_factor)

    def better(self, one: float, other: float) -> bool:
        """Whether the first value is the better one."""
        return one < other if self.measure.lower_is_better else one > other


class Trial(models.Model):
    """One choice of settings and the training that tries it.

    `rungs` is `[{step, value}]`, one for each rung that was reached; `value` is that of the end or,
    of a stopped one, of its last rung.
    """

    sweep = models.ForeignKey(Sweep, on_delete=models.PROTECT, related_name="trials")
    number = models.PositiveIntegerField()
    values = models.JSONField()
    state = models.CharField(max_length=10, choices=TrialState.choices, default=TrialState.RUNNING)
    #: Nothing where no training could be started with these settings.
    version = models.OneToOneField(
        "registry.ModelVersion", null=True, on_delete=models.PROTECT, related_name="trial"
    )
    rungs = models.JSONField(default=list)
    value = models.FloatField(null=True)
    ending = models.CharField(max_length=10, choices=Ending.choices, blank=True)
    #: Of a failed one: the reason code of its job, what it says, and by what equal ones are known.
    code = models.CharField(max_length=20, blank=True)
    reason = models.TextField(blank=True)
    signature = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True)

    team_path = "sweep__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("trial")
        ordering = ["number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=TrialState.values), name="trial_state_known"
            ),
            models.UniqueConstraint(fields=["sweep", "number"], name="trial_number"),
        ]
        indexes = [
            models.Index(
                fields=["sweep"], name="trial_open",
                condition=Q(state__in=("running", "stopping")),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"trial {self.number} of sweep {self.sweep_id}"

    @property
    def team_id(self) -> int:
        return self.sweep.team_id

    @property
    def job(self) -> Any:
        """Of its training, or None."""
        return self.version.produced_by if self.version else None
