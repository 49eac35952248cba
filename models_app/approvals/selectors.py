"""Reads approval requests, and answers who may decide them."""

from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.approvals.models import ApprovalRequest, Environment, Vote
from models_app.approvals.states import Decision, RequestState
from models_app.core.actor import Actor

PERM = "approvals.vote_request"


def approval_get(*, actor: Actor, request_id: int) -> ApprovalRequest:
    """One request, or NotFound."""
    rows = ApprovalRequest.objects.select_related("team", "created_by", "environment")
    return rows.get_visible(actor, pk=request_id)


def approval_list(
    *, actor: Actor, whose: str = "all", state: str = "", team: str = ""
) -> QuerySet[ApprovalRequest]:
    """Newest first. `whose`: `me` waits for the actor's vote, `mine` the actor has asked, `all`."""
    rows = ApprovalRequest.objects.visible_to(actor).select_related(
        "team", "created_by", "environment"
    )
    if whose == "me":
        rows = rows.filter(_waiting(actor))
    elif whose == "mine":
        rows = rows.filter(created_by_id=actor.pk)
    if state:
        rows = rows.filter(state=state)
    if team:
        rows = rows.filter(team__slug=team)
    return rows.prefetch_related("votes").order_by("-id")


def approvals_waiting_for(actor: Actor) -> int:
    """How many open requests this person may decide and has not."""
    return ApprovalRequest.objects.visible_to(actor).filter(_waiting(actor)).count()


def _waiting(actor: Actor) -> Q:
    """Open, in time, of a team where the actor may vote, not asked and not yet decided by them."""
    still = Q(state=RequestState.OPEN, expires_at__gt=Now()) & ~Q(created_by_id=actor.pk)
    voted = Vote.objects.filter(user_id=actor.pk).values("request_id")
    first = ApprovalRequest.objects.visible_to(actor).filter(still).order_by("team_id")
    teams = [row.team_id for row in first.distinct("team_id") if actor.has_perm(PERM, row)]
    return still & Q(team_id__in=teams) & ~Q(pk__in=voted)


def why_not_vote(*, actor: Actor, request: ApprovalRequest) -> str:
    """One sentence that says why the actor may not decide this request; empty if they may."""
    if actor.pk is None:
        return _("Only people decide.")
    if actor.pk == request.created_by_id:
        return _("You asked for this yourself, so somebody else has to decide it.")
    if not actor.has_perm(PERM, request):
        return _("Deciding needs the role approver or admin in this team.")
    if Vote.objects.filter(request=request, user_id=actor.pk).exists():
        return _("You have already decided; a vote is not changed.")
    return ""


def approvals_given(request: ApprovalRequest) -> int:
    """Approving votes of people who may still vote now: a role taken away takes its vote along."""
    votes = Vote.objects.filter(request=request, decision=Decision.APPROVE).select_related("user")
    return sum(
        vote.user_id != request.created_by_id
        and vote.user.is_active
        and vote.user.has_perm(PERM, request)
        for vote in votes
    )


def approvers_of(request: ApprovalRequest) -> list[Any]:
    """Members of the team who may decide it, the requester apart."""
    members = request.team.memberships.select_related("user").order_by("user__name")
    people = [member.user for member in members]
    return [
        user
        for user in people
        if user.is_active and user.pk != request.created_by_id and user.has_perm(PERM, request)
    ]


def environment_list() -> QuerySet[Environment]:
    """All environments with their policies, in order. Everybody signed in may read them."""
    return Environment.objects.order_by("position", "name")


def environment_names() -> list[str]:
    """Names of all environments, in their order."""
    return list(environment_list().values_list("name", flat=True))
