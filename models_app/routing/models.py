"""Routes as numbered, immutable revisions, and what copies of requests were answered."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet


class Route(TeamOwned):
    """A name that clients ask (`team/name`). What it does stands in its newest revision.

    Environment and name never change: who may be asked follows from the one, callers rely on the
    other.
    """

    name = models.CharField(max_length=63)
    environment = models.ForeignKey(
        "approvals.Environment", on_delete=models.PROTECT, related_name="routes"
    )
    #: The newest revision: the one that decides.
    current = models.ForeignKey(
        "RouteRevision", null=True, on_delete=models.PROTECT, related_name="+"
    )
    removed_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)

    class Meta:
        verbose_name = _("route")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"], condition=Q(removed_at=None), name="route_name"
            ),
            models.UniqueConstraint(fields=["team", "idempotency_key"], name="route_key"),
        ]

    def __str__(self) -> str:
        return self.name


class RouteRevision(models.Model):
    """One immutable state of a route."""

    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    #: A RouteSpec.
    spec = models.JSONField()
    #: By rule, who has which cells: see allotment.py.
    cells = models.JSONField()
    digest = models.CharField(max_length=64)
    reason = models.CharField(max_length=200, blank=True)
    #: The number of the revision that this one brought back.
    back_to = models.PositiveIntegerField(null=True, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "route__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("route revision")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["route", "number"], name="route_revision_number")
        ]

    def __str__(self) -> str:
        return f"{self.route.name} r{self.number}"

    @property
    def team_id(self) -> int:
        return self.route.team_id


class MirrorPair(models.Model):
    """A request that was answered twice, once for nobody. Texts are not kept, only whether they
    were the same.
    """

    id = models.BigAutoField(primary_key=True)
    request_id = models.CharField(max_length=64)
    at = models.DateTimeField()
    #: Null for the copies that a roll-out makes.
    route = models.ForeignKey(
        Route, null=True, on_delete=models.CASCADE, related_name="mirror_pairs"
    )
    revision = models.ForeignKey(
        "deployments.Revision", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    mirror_deployment = models.ForeignKey(
        "deployments.Deployment", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    mirror_revision = models.ForeignKey(
        "deployments.Revision", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    #: `compared`, `dropped` (no room for a copy) or `failed` (the copy got no answer).
    outcome = models.CharField(max_length=12)
    same = models.BooleanField(null=True)
    #: How many characters both answers begin with alike, and the longer one has.
    alike = models.PositiveIntegerField(default=0)
    length = models.PositiveIntegerField(default=0)
    total_ms = models.FloatField(null=True)
    mirror_total_ms = models.FloatField(null=True)

    class Meta:
        verbose_name = _("mirrored request")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["route", "-at"], name="mirror_pair_route"),
            models.Index(fields=["at"], name="mirror_pair_at"),
        ]

    def __str__(self) -> str:
        return self.request_id
