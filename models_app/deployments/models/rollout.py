"""Roll-outs, what happened in them, and the answers that prove a way back."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamQuerySet
from models_app.deployments.models.deployment import Deployment, Revision
from models_app.deployments.states import ROLLOUT_LIVE, Golden, RolloutState


class Rollout(models.Model):
    """One way of a revision into service: its plan, where it stands, and how it ended."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="rollouts")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="rollouts")
    #: What served when it began.
    previous = models.ForeignKey(Revision, null=True, on_delete=models.PROTECT, related_name="+")
    strategy = models.CharField(max_length=20)
    back = models.BooleanField(default=False, help_text="It goes back to what served before")
    state = models.CharField(
        max_length=20, choices=RolloutState.choices, default=RolloutState.RUNNING
    )
    #: The steps as they were planned: [{kind, percent, replicas, bake_s, …}].
    plan = models.JSONField(default=list)
    step = models.PositiveSmallIntegerField(default=0)
    #: The share of requests that the new revision gets, and of those it gets copies of.
    percent = models.PositiveSmallIntegerField(default=0)
    mirror_percent = models.PositiveSmallIntegerField(default=0)
    #: Since when this step is watched: its replicas are ready and its share is given.
    watched_since = models.DateTimeField(null=True, blank=True)
    #: How the stored answers stand: see Golden.
    golden = models.CharField(max_length=12, choices=Golden.choices, default=Golden.NONE)
    verdict = models.TextField(blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    started_at = models.DateTimeField(default=now, editable=False)
    step_started_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True, blank=True)

    team_path = "deployment__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("roll-out")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"], condition=Q(state__in=ROLLOUT_LIVE), name="rollout_one_live"
            ),
            models.CheckConstraint(
                condition=Q(state__in=RolloutState.values), name="rollout_state_known"
            ),
            models.CheckConstraint(
                condition=Q(golden__in=Golden.values), name="rollout_golden_known"
            ),
        ]

    def __str__(self) -> str:
        return f"roll-out {self.pk} of {self.revision}"

    @property
    def team_id(self) -> int:
        return self.deployment.team_id


class RolloutEvent(models.Model):
    """One line of the timeline."""

    id = models.BigAutoField(primary_key=True)
    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=now)
    kind = models.CharField(max_length=40)
    #: Figures and names that the page makes a sentence of.
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event of a roll-out")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} of {self.rollout_id}"


class GoldenAnswer(models.Model):
    """What a revision said to a prompt when it was activated, greedily, token for token."""

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="golden_answers")
    number = models.PositiveSmallIntegerField()
    prompt = models.TextField()
    text = models.TextField()
    tokens = models.JSONField(default=list)
    stored_at = models.DateTimeField(default=now)
    #: The last replay: when, and whether the answer was the same.
    replayed_at = models.DateTimeField(null=True, blank=True)
    replay_equal = models.BooleanField(null=True)
    replay_text = models.TextField(blank=True)

    class Meta:
        verbose_name = _("golden answer")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["revision", "number"], name="golden_answer_number"),
        ]

    def __str__(self) -> str:
        return f"golden answer {self.number} of {self.revision_id}"
