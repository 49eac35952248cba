"""Reads people, teams, memberships and tokens, narrowed to what the actor may see."""

from django.db.models import Count, Prefetch, Q, QuerySet
from django.utils.translation import gettext as _

from console.access.models import ApiToken, Membership, Team, User
from console.access.roles import Role
from models_app.core.actor import Actor
from models_app.core.errors import NotFound
from models_app.core.permission import require


def user_list(
    *, actor: Actor, query: str = "", team: str = "", status: str = "", role: str = ""
) -> QuerySet[User]:
    """People of the actor's teams, and the actor; platform admins see everybody.

    `status` is active, inactive or admin; `query` looks into name and address.
    """
    rows = _people(actor).order_by("name", "pk")
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(email__icontains=query))
    if team:
        rows = rows.filter(pk__in=_members(actor).filter(team__slug=team).values("user_id"))
    if role:
        rows = rows.filter(pk__in=_members(actor).filter(role=role).values("user_id"))
    if status == "admin":
        rows = rows.filter(is_admin=True)
    elif status in {"active", "inactive"}:
        rows = rows.filter(is_active=status == "active")
    memberships = _members(actor).select_related("team").order_by("team__slug")
    return rows.prefetch_related(Prefetch("memberships", memberships, to_attr="shown"))


def user_get(*, actor: Actor, user_id: int) -> User:
    """One person whom the actor may see, or NotFound. `shown` holds the visible memberships."""
    user = user_list(actor=actor).filter(pk=user_id).first()
    if user is None:
        raise NotFound(_("There is no such person."))
    return user


def user_by_email(*, email: str) -> User | None:
    """Whoever has this address; only for services that check the actor's rights in a team."""
    return User.objects.filter(email=email.strip().lower()).first()


def team_list(*, actor: Actor, query: str = "") -> QuerySet[Team]:
    """The actor's teams with the number of their members."""
    rows = Team.objects.annotate(
        members=Count("memberships", filter=Q(memberships__user__is_active=True))
    ).order_by("slug")
    if query:
        rows = rows.filter(Q(slug__icontains=query) | Q(title__icontains=query))
    teams = actor.visible_team_ids()
    return rows if teams is None else rows.filter(pk__in=teams)


def team_get(*, actor: Actor, slug: str) -> Team:
    """One team of the actor's, or NotFound."""
    team = team_list(actor=actor).filter(slug=slug).first()
    if team is None:
        raise NotFound(_("There is no such team."))
    require(actor, "access.view_team", team)
    return team


def membership_list(*, actor: Actor, team: Team) -> QuerySet[Membership]:
    """Who is in the team, admins first."""
    require(actor, "access.view_team", team)
    rows = Membership.objects.filter(team=team).select_related("user", "team")
    return rows.alias(admin=Q(role=Role.ADMIN)).order_by("-admin", "user__name", "pk")


def membership_get(*, actor: Actor, team: Team, user_id: int) -> Membership:
    """One person's place in the team, or NotFound."""
    row = membership_list(actor=actor, team=team).filter(user_id=user_id).first()
    if row is None:
        raise NotFound(_("This person is not in the team."))
    return row


def token_list(*, actor: User) -> QuerySet[ApiToken]:
    """The actor's own tokens, newest first; a team's token sees only those of that team."""
    rows = ApiToken.objects.filter(user=actor).select_related("team", "user").order_by("-pk")
    if actor.auth_token is not None and actor.auth_token.team_id is not None:
        rows = rows.filter(team_id=actor.auth_token.team_id)
    return rows


def token_get(*, actor: User, token_id: int) -> ApiToken:
    """One of the actor's own tokens, or NotFound."""
    token = token_list(actor=actor).filter(pk=token_id).first()
    if token is None:
        raise NotFound(_("There is no such token."))
    return token


def tokens_of(*, actor: Actor, user: User) -> QuerySet[ApiToken]:
    """Somebody's tokens, for platform admins: to see what is in use and to revoke it."""
    require(actor, "access.change_user")
    return ApiToken.objects.filter(user=user).select_related("team", "user").order_by("-pk")


def _members(actor: Actor) -> QuerySet[Membership]:
    teams = actor.visible_team_ids()
    rows = Membership.objects.all()
    return rows if teams is None else rows.filter(team_id__in=teams)


def _people(actor: Actor) -> QuerySet[User]:
    if actor.visible_team_ids() is None:
        return User.objects.all()
    return User.objects.filter(Q(pk__in=_members(actor).values("user_id")) | Q(pk=actor.pk))
