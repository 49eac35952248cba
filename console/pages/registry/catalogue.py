"""Aliases, stages and tags on the pages of models: what they show, and what people do to them."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.tagging import tagging, tags_from
from models_app.core.errors import FieldError, NotFound
from models_app.registry import selectors
from models_app.registry.models import Model, ModelVersion
from models_app.registry.naming import aliases_of, version_named
from models_app.registry.services import (
    alias_delete,
    alias_set,
    stage_move_withdraw,
    tags_change,
    version_stage_move,
)
from models_app.registry.services.stages import why_not_stage
from models_app.registry.stages import stage_gates
from models_app.registry.states import STAGES, MoveState, Stage, VersionState

MOVES = 12
MOST_CHOICES = 200


def model_catalogue(actor: Any, model: Model) -> dict[str, Any]:
    """Aliases with the place to move each back to, their newest moves, and tags."""
    aliases: list[Any] = aliases_of(model)
    moves = list(model.alias_moves.select_related("old", "new", "moved_by").order_by("-id")[:MOVES])
    for alias in aliases:
        last = next((move for move in moves if move.name == alias.name), None)
        alias.back = last.old if last and last.old and last.old.state == "ready" else None
    ready = model.versions.filter(state=VersionState.READY).order_by("-number")
    return {
        "aliases": aliases,
        "alias_moves": moves,
        "choices": list(ready.values_list("number", flat=True)[:MOST_CHOICES]),
        "may_alias": actor.has_perm("registry.set_alias", model),
        **tagging(actor, model, "model_tags", model.team.slug, model.name),
    }


def version_catalogue(actor: Any, version: ModelVersion) -> dict[str, Any]:
    """The ways on from its stage with what each needs, its moves, its aliases and tags."""
    moves = list(version.stage_moves.select_related("moved_by").order_by("-id")[:MOVES])
    model = version.model
    return {
        "stage_ways": _ways(version),
        "stage_moves": moves,
        "stage_waits": next((move for move in moves if move.state == MoveState.WAITING), None),
        "may_stage": actor.has_perm("registry.move_stage", version),
        "aliases": list(version.aliases.order_by("name")),
        **tagging(
            actor, version, "model_version_tags", model.team.slug, model.name, version.number
        ),
    }


def _ways(version: ModelVersion) -> list[dict[str, Any]]:
    found = []
    for to in (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED):
        if to in STAGES[Stage(version.stage)]:
            approvals = sum(gate.needs(version=version, to=to) for gate in stage_gates)
            refusal = why_not_stage(version, to)
            found.append({"to": to, "label": to.label, "approvals": approvals, "refusal": refusal})
    return found


@login_required
@require_POST
def alias_change(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Set or move an alias; `expected` is the version that the page has shown."""
    actor: Any = request.user
    model = selectors.model_named(actor=actor, team=team, name=name)
    given = request.POST
    try:
        version = version_named(model=model, name=given.get("version", ""))
    except NotFound as error:
        raise FieldError("version", error.message) from None
    alias_set(
        actor=actor,
        model=model,
        name=given.get("name", "").strip(),
        version=version,
        expected=_number(given.get("expected", "")),
        reason=given.get("reason", "").strip(),
    )
    said = _("%(name)s points to v%(n)s now.")
    messages.success(request, said % {"name": given["name"].strip(), "n": version.number})
    return redirect("model_detail", team, name)


@login_required
@require_POST
def alias_remove(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Delete an alias; its history stays."""
    actor: Any = request.user
    alias_delete(
        actor=actor,
        model=selectors.model_named(actor=actor, team=team, name=name),
        name=request.POST.get("name", ""),
        expected=_number(request.POST.get("expected", "")),
        reason=request.POST.get("reason", "").strip(),
    )
    messages.success(request, _("The alias is deleted."))
    return redirect("model_detail", team, name)


@login_required
@require_POST
def stage_move(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Move a version to another stage, or ask for it."""
    actor: Any = request.user
    move = version_stage_move(
        actor=actor,
        version=selectors.version_numbered(actor=actor, team=team, name=name, number=number),
        to=request.POST.get("to", ""),
        reason=request.POST.get("reason", ""),
    )
    if move.state == MoveState.WAITING:
        messages.info(request, _("The move waits for approval."))
    else:
        said = _("The version is in “%(stage)s” now.")
        messages.success(request, said % {"stage": move.get_new_display()})
    return redirect("model_version", team, name, number)


@login_required
@require_POST
def stage_withdraw(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Take back the move that waits."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    move = version.stage_moves.select_related("version__model").filter(state=MoveState.WAITING)
    row = move.first()
    if row is None:
        raise NotFound(_("No move of this version waits."))
    stage_move_withdraw(actor=actor, move=row)
    messages.success(request, _("The move is taken back."))
    return redirect("model_version", team, name, number)


@login_required
@require_POST
def model_tags(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Change the tags of a model."""
    actor: Any = request.user
    model = selectors.model_named(actor=actor, team=team, name=name)
    tags_change(actor=actor, thing=model, tags=tags_from(request))
    messages.success(request, _("The tags are saved."))
    return redirect("model_detail", team, name)


@login_required
@require_POST
def version_tags(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Change the tags of a version."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    tags_change(actor=actor, thing=version, tags=tags_from(request))
    messages.success(request, _("The tags are saved."))
    return redirect("model_version", team, name, number)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None
