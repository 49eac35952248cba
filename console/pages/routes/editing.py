"""Pages that write routes: a new one, and the next revision."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from console.pages.routes.editor import (
    RouteEditor,
    priority_choices,
    sticky_choices,
    test_choices,
)
from models_app.approvals.selectors import environment_list
from models_app.core.errors import Conflict, FieldError, InvalidInput
from models_app.core.names import clean_slug
from models_app.core.permission import require
from models_app.core.teams import team_named, teams_where
from models_app.deployments.models import Deployment
from models_app.routing.comparison import route_changes
from models_app.routing.models import Route
from models_app.routing.selectors import route_by_name, route_revision_list
from models_app.routing.services import route_create, route_revise

ADD = "routing.add_route"
CHANGE = "routing.change_route"


@login_required
def route_new(request: HttpRequest) -> HttpResponse:
    """A new name; `?team=` says whose, `?deployment=` fills in where everything goes."""
    actor: Any = request.user
    require(actor, ADD)
    teams = teams_where(actor, ADD)
    posted = request.POST if request.method == "POST" else None
    given = posted if posted is not None else request.GET
    slug = given.get("team", "") or next((team.slug for team in teams), "")
    first = request.GET.get("deployment", "")
    targets = [{"deployment": first, "weight": 100}] if first else []
    editor = RouteEditor({"targets": targets}, posted)
    head = {
        "team": slug,
        "name": given.get("name", ""),
        "environment": given.get("environment", ""),
        "reason": given.get("reason", ""),
    }
    errors: dict[str, list[str]] = {}
    if posted is not None and not editor.saving:
        editor.turn()
    elif posted is not None and (made := _made(actor, editor, head, errors)) is not None:
        messages.success(request, _("The route is made: clients can ask it from now on."))
        return redirect("route_detail", made.team.slug, made.name)
    context = {
        **_choices(slug, actor),
        "editor": editor,
        "head": head,
        "errors": errors,
        "teams": teams,
        "environments": list(environment_list()),
    }
    wrong = editor.wrong or errors
    return render(request, "routes/new.html", context, status=422 if wrong else 200)


def _made(
    actor: Any, editor: RouteEditor, head: dict[str, str], errors: dict[str, list[str]]
) -> Route | None:
    """The stored route; None with what is wrong in `errors` and marked in the editor."""
    spec = editor.read()
    environment = environment_list().filter(name=head["environment"]).first()
    if environment is None:
        errors["environment"] = [_("Choose one.")]
    try:
        clean_slug(head["name"].strip())
    except FieldError as error:
        errors |= error.errors
    if spec is None or environment is None or errors:
        return None
    try:
        return route_create(
            actor=actor,
            team=team_named(actor, head["team"]),
            name=head["name"].strip(),
            environment=environment,
            spec=spec,
            reason=head["reason"],
        )
    except InvalidInput as error:
        _sort(editor, error, errors)
    return None


def _sort(editor: RouteEditor, error: InvalidInput, errors: dict[str, list[str]]) -> None:
    """What concerns the fields around the editor, and what concerns those in it."""
    inside = {path: texts for path, texts in error.errors.items() if path.startswith("spec")}
    errors |= {path: texts for path, texts in error.errors.items() if path not in inside}
    if inside:
        editor.refuse(InvalidInput(inside), "spec")


@login_required
def route_edit(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """The next revision, filled in with the newest one or with `?from=` (a number)."""
    actor: Any = request.user
    row = route_by_name(actor=actor, team=team, name=name)
    require(actor, CHANGE, row)
    newest = row.current
    assert newest is not None
    posted = request.POST if request.method == "POST" else None
    start = _start(actor, row, request.GET.get("from", "")) or newest
    editor = RouteEditor(start.spec, posted)
    base = posted.get("base", "") if posted is not None else str(newest.number)
    reason = posted.get("reason", "") if posted is not None else ""
    errors: dict[str, list[str]] = {}
    conflict: Conflict | None = None
    spec = None
    if posted is not None and not editor.saving:
        editor.turn()
    elif posted is not None:
        spec = editor.read()
        if spec is not None and editor.go == "save":
            try:
                after = _revised(actor, row, editor, spec, reason, base, errors)
            except Conflict as error:
                # What was typed stays; sent again, it is written on what is newest now.
                conflict, base = error, str(error.extra["newest"])
            else:
                if after is not None:
                    _say(request, newest.number, after)
                    return redirect("route_detail", team, name)
    context = {
        **_choices(team, actor),
        "route": row,
        "editor": editor,
        "newest": newest,
        "start": start,
        "base": base,
        "reason": reason,
        "errors": errors,
        "conflict": conflict,
        "reviewed": spec is not None and not errors,
        "changes": route_changes(newest.spec, spec) if spec is not None else [],
    }
    status = 409 if conflict else 422 if editor.wrong or errors else 200
    return render(request, "routes/edit.html", context, status=status)


def _revised(
    actor: Any,
    row: Route,
    editor: RouteEditor,
    spec: dict[str, Any],
    reason: str,
    base: str,
    errors: dict[str, list[str]],
) -> Route | None:
    number = int(base) if base.isascii() and base.isdecimal() and len(base) < 9 else 0
    try:
        return route_revise(actor=actor, route=row, spec=spec, reason=reason, base=number)
    except FieldError as error:
        if error.field != "reason":
            _sort(editor, error, errors)
        else:
            errors["reason"] = error.errors["reason"]
    except InvalidInput as error:
        _sort(editor, error, errors)
    return None


def _say(request: HttpRequest, before: int, after: Route) -> None:
    number = after.current.number if after.current else 0
    if number == before:
        messages.info(request, _("r%(n)s says exactly this already.") % {"n": number})
    else:
        messages.success(request, _("r%(n)s decides from now on.") % {"n": number})


def _start(actor: Any, row: Route, key: str) -> Any:
    if not (key.isascii() and key.isdecimal() and len(key) < 9):
        return None
    return route_revision_list(actor=actor, route=row).filter(number=int(key)).first()


def _choices(team: str, actor: Any) -> dict[str, Any]:
    """What the fields of the editor offer."""
    rows = Deployment.objects.visible_to(actor).filter(team__slug=team)
    return {
        "deployments": list(rows.select_related("environment").order_by("name")[:500]),
        "tests": test_choices(),
        "priorities": priority_choices(),
        "stickies": sticky_choices(),
    }
