"""The list of runs: a filter, columns, an order and a picture, all in the address."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.pages.navigation import url_or_none
from console.pages.runs.columns import chosen_keys, columns_of, known_keys, value_of
from console.pages.runs.picture import scatter
from console.pages.tagging import tags_from
from models_app.core.errors import InvalidInput
from models_app.core.teams import team_rows, teams_where
from models_app.registry.api.run_files import run_file_response
from models_app.registry.api.runs import runs_csv
from models_app.registry.experiments import is_shown_tag
from models_app.registry.run_selectors import RunView, run_get, run_values, runs_load
from models_app.registry.search.query import run_count, run_search, run_search_all
from models_app.registry.services import tags_change

PAGE = 25
#: Points of the picture, and how far matches are counted.
MOST_POINTS, MOST_COUNTED = 500, 10_000
EXAMPLES = (
    "metrics.validation_loss < 2 and state = succeeded",
    'dataset = "novels" and params.learning_rate >= 1e-4',
    "author = me and created > 2026-11-01",
    'tags.team in ("a", "b") and not state = failed',
)


@login_required
def run_list(request: HttpRequest) -> HttpResponse:
    """Runs of my teams that match `?filter=`, in `?order=`."""
    actor: Any = request.user
    text, order = request.GET.get("filter", ""), request.GET.get("order", "")
    context: dict[str, Any] = {
        "text": text,
        "order": order,
        "examples": EXAMPLES,
        "may_train": bool(teams_where(actor, "registry.add_version")),
        "log_team": next((team.slug for team in teams_where(actor, "registry.log_run")), ""),
        "public_url": settings.PUBLIC_URL,
        "topics": " ".join(f"team.{team.pk}" for team in team_rows(actor)[:50]),
    }
    try:
        context |= _found(request, text, order)
    except InvalidInput as error:
        context["problem"] = " ".join(said for texts in error.errors.values() for said in texts)
        context["column"] = getattr(error, "column", 0)
        return render(request, "runs/list.html", context, status=422)
    return render(request, "runs/list.html", context)


def _found(request: HttpRequest, text: str, order: str) -> dict[str, Any]:
    actor: Any = request.user
    cursor = request.GET.get("cursor", "")
    found = run_search(actor=actor, text=text, order=order, cursor=cursor, limit=PAGE)
    views = runs_load(found.ids)
    count = run_count(actor=actor, text=text, most=MOST_COUNTED)
    known = known_keys(views)
    keys = chosen_keys(request.GET.getlist("col"), known)
    more = "+" if count == MOST_COUNTED else ""
    return {
        "rows": [_row(view, keys) for view in views],
        "next_cursor": found.next,
        "columns": columns_of(keys, order),
        "offered": sorted({*known, *keys}),
        "chosen": set(keys),
        "result": ngettext("%(n)s run", "%(n)s runs", count) % {"n": f"{count:,}{more}"},
        **_picture(request, text, keys, known),
    }


def _row(view: RunView, keys: list[str]) -> dict[str, Any]:
    version = view.version
    return {
        "view": view,
        "run": view.run,
        "job": view.run.job,
        "cells": [(key.partition(".")[2], value_of(view, key)) for key in keys],
        "version": version,
        "version_url": url_or_none(
            "model_version", view.run.team.slug, view.run.model.name, version.number
        )
        if version and view.run.model
        else None,
        "tags": [tag for tag in view.tags.items() if is_shown_tag(tag[0])][:6],
    }


def _picture(request: HttpRequest, text: str, keys: list[str], known: list[str]) -> dict[str, Any]:
    """One figure over one setting of everything that matches, not of this page alone."""
    params = [key for key in {*keys, *known} if key.startswith("params.")]
    metrics = [key for key in keys if key.startswith("metrics.")]
    x = request.GET.get("x") or next((key for key in keys if key in params), "")
    y = request.GET.get("y") or next(iter(metrics), "")
    axes = sorted({*keys, *known})
    if not x or not y:
        return {"axes": axes, "x": x, "y": y, "picture": None}
    actor: Any = request.user
    pages = run_search_all(actor=actor, text=text, most=MOST_POINTS, page=MOST_POINTS)
    ids = [pk for page in pages for pk in page]
    return {
        "axes": sorted({*axes, x, y}),
        "x": x,
        "y": y,
        "picture": scatter(x, y, run_values(ids, x), run_values(ids, y)),
    }


@login_required
def run_export(request: HttpRequest) -> Any:
    """Everything that matches, as CSV."""
    actor: Any = request.user
    return runs_csv(actor, request.GET.get("filter", ""), request.GET.get("order", ""))


@login_required
def run_file(request: HttpRequest, pk: int, path: str) -> FileResponse:
    """A file that its program has left with a run, to download."""
    actor: Any = request.user
    return run_file_response(run_get(actor=actor, run_id=pk), path)


@login_required
@require_POST
def run_tags(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the tags of a run."""
    actor: Any = request.user
    run = run_get(actor=actor, run_id=pk)
    tags_change(actor=actor, thing=run.job, tags=tags_from(request))
    messages.success(request, _("The tags are saved."))
    return redirect("job_detail", pk)
