"""Teams: list, new team, one team with its members."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.access import selectors
from console.access.forms import MemberForm, RoleForm, TeamForm, TitleForm
from console.access.models import User
from console.access.roles import Role
from console.access.services import membership_remove, membership_set, team_create, team_rename
from console.access.views.base import actor_of, page_of, say_errors
from console.pages.forms import add_errors
from models_app.core.errors import FieldError, InvalidInput
from models_app.core.permission import require


@login_required
def team_list(request: HttpRequest) -> HttpResponse:
    """The actor's teams."""
    actor = actor_of(request)
    query = request.GET.get("q", "")
    page = page_of(request, selectors.team_list(actor=actor, query=query))
    count = page.paginator.count
    context = {
        "page": page,
        "roles": actor.roles(),
        "search": {"value": query, "placeholder": _("Name or title")},
        "result": ngettext("%(n)s team", "%(n)s teams", count) % {"n": count},
        "may_add": actor.has_perm("access.add_team"),
    }
    for team in page:
        role = actor.roles().get(team.pk)
        team.my_role = Role(role).label if role else ""
    return render(request, "access/teams.html", context)


@login_required
def team_new(request: HttpRequest) -> HttpResponse:
    """Make a team."""
    actor = actor_of(request)
    require(actor, "access.add_team")
    form = TeamForm(request.POST or None, initial={"admin": actor.email})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            admin = _named(given["admin"], "admin") if given["admin"] else None
            team = team_create(actor=actor, slug=given["slug"], title=given["title"], admin=admin)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("The team is there. Put people into it."))
            return redirect("team_detail", team.slug)
    return render(request, "access/team_new.html", {"form": form})


@login_required
def team_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One team and its members."""
    actor = actor_of(request)
    return _team_page(request, actor, slug, MemberForm())


@require_POST
@login_required
def member_add(request: HttpRequest, slug: str) -> HttpResponse:
    """Put somebody into the team."""
    actor = actor_of(request)
    team = selectors.team_get(actor=actor, slug=slug)
    form = MemberForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        try:
            require(actor, "access.add_membership", team)
            user = _named(given["email"], "email")
            membership_set(actor=actor, team=team, user=user, role=given["role"])
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("%(name)s is in the team.") % {"name": user})
            return redirect("team_detail", slug)
    return _team_page(request, actor, slug, form)


@require_POST
@login_required
def member_change(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    """Give a member another role."""
    actor = actor_of(request)
    team = selectors.team_get(actor=actor, slug=slug)
    row = selectors.membership_get(actor=actor, team=team, user_id=user_id)
    form = RoleForm(request.POST)
    try:
        role = form.cleaned_data["role"] if form.is_valid() else ""
        membership_set(actor=actor, team=team, user=row.user, role=role)
    except InvalidInput as error:
        say_errors(request, error)
    else:
        messages.success(request, _("The role of %(name)s is changed.") % {"name": row.user})
    return redirect("team_detail", slug)


@require_POST
@login_required
def member_remove(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    """Take somebody out of the team."""
    actor = actor_of(request)
    team = selectors.team_get(actor=actor, slug=slug)
    row = selectors.membership_get(actor=actor, team=team, user_id=user_id)
    try:
        membership_remove(actor=actor, team=team, user=row.user)
    except InvalidInput as error:
        say_errors(request, error)
        return redirect("team_detail", slug)
    messages.success(request, _("%(name)s is no longer in the team.") % {"name": row.user})
    return redirect(
        "people" if row.user_id == actor.pk else "team_detail", *_args(actor, row, slug)
    )


@require_POST
@login_required
def team_rename_view(request: HttpRequest, slug: str) -> HttpResponse:
    """Change the title."""
    actor = actor_of(request)
    team = selectors.team_get(actor=actor, slug=slug)
    form = TitleForm(request.POST)
    if form.is_valid():
        try:
            team_rename(actor=actor, team=team, title=form.cleaned_data["title"])
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("The title is saved."))
            return redirect("team_detail", slug)
    return _team_page(request, actor, slug, MemberForm(), form)


def _args(actor: User, row: Any, slug: str) -> list[str]:
    return [] if row.user_id == actor.pk else [slug]


def _named(email: str, field: str) -> User:
    user = selectors.user_by_email(email=email)
    if user is None:
        raise FieldError(field, _("Nobody has this address. A platform admin can add the person."))
    return user


def _team_page(
    request: HttpRequest, actor: User, slug: str, member: MemberForm, title: TitleForm | None = None
) -> HttpResponse:
    team = selectors.team_get(actor=actor, slug=slug)
    page = page_of(request, selectors.membership_list(actor=actor, team=team), 50)
    context = {
        "team": team,
        "page": page,
        "member_form": member,
        "title_form": title or TitleForm(initial={"title": team.title}),
        "manages": actor.has_perm("access.change_membership", team),
        "roles": Role.choices,
    }
    return render(request, "access/team.html", context, status=422 if member.errors else 200)
