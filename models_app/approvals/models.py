"""Who must agree before something goes into an environment: policies, requests, votes."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.approvals.states import Decision, RequestState
from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet


class Environment(models.Model):
    """A place where models serve, with the policy that guards it."""

    name = models.CharField(max_length=63, unique=True)
    protected = models.BooleanField(default=False)
    required_approvals = models.PositiveSmallIntegerField(default=1)
    expires_after_h = models.PositiveIntegerField(
        default=72, help_text="Hours a request stays open"
    )
    #: Counts changes of the policy; an approval is given under one of them.
    policy_version = models.PositiveIntegerField(default=1)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("environment")
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class ApprovalRequest(TeamOwned):
    """Asks for agreement to exactly one state of a subject, named by its digest.

    `created_by` is the requester, who can never vote.
    """

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="requests")
    subject_type = models.CharField(max_length=40)
    subject_id = models.BigIntegerField()
    subject_digest = models.CharField(max_length=64)
    policy_version = models.PositiveIntegerField(default=1)
    title = models.CharField(max_length=200)
    reason = models.TextField(blank=True, help_text="Why the requester wants it")
    state = models.CharField(max_length=16, choices=RequestState.choices, default=RequestState.OPEN)
    required = models.PositiveSmallIntegerField()
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("approval request")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=RequestState.values), name="request_state_known"
            ),
            models.UniqueConstraint(
                fields=["subject_type", "subject_id"],
                condition=models.Q(state=RequestState.OPEN),
                name="request_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"CR-{self.pk} {self.title}"


class Vote(models.Model):
    """One person's decision on one request. Never changed."""

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(max_length=10, choices=Decision.choices)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "request__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("vote")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["request", "user"], name="vote_once")]

    def __str__(self) -> str:
        return f"{self.user} {self.decision}"
