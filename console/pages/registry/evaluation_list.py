"""The list of evaluations of all models, from which some are chosen for comparison."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from models_app.core.teams import team_rows
from models_app.datasets.selectors import dataset_list
from models_app.registry import selectors
from models_app.registry.states import Family, Task

MOST_CHOICES = 400


@login_required
def evaluation_list(request: HttpRequest) -> HttpResponse:
    """Evaluations of my teams, newest first; ticked ones are compared."""
    actor: Any = request.user
    query = request.GET
    numbers = {name: _number(query.get(name, "")) for name in ("dataset", "model")}
    family, task = query.get("family", ""), query.get("task", "")
    rows = selectors.evaluation_list(
        actor=actor,
        family=family if family in Family.values else "",
        task=task if task in Task.values else "",
        **numbers,
    )
    page = Paginator(rows, 25).get_page(query.get("page"))
    count = page.paginator.count
    return render(
        request,
        "models/evaluations.html",
        {
            "page": page,
            "rows": page.object_list,
            "may_evaluate": actor.has_perm("registry.evaluate_version"),
            "filters": _filters(actor, query),
            "result": ngettext("%(n)s evaluation", "%(n)s evaluations", count) % {"n": count},
            "topics": " ".join(f"team.{row.pk}" for row in team_rows(actor)[:50]),
        },
    )


def _filters(actor: Any, query: Any) -> list[dict[str, Any]]:
    models = selectors.model_list(actor=actor)[:MOST_CHOICES]
    datasets = dataset_list(actor=actor)[:MOST_CHOICES]
    offered: list[tuple[str, str, list[tuple[Any, Any]]]] = [
        ("dataset", _("Any dataset"), [(row.pk, f"{row.team.slug}/{row}") for row in datasets]),
        ("model", _("Any model"), [(row.pk, f"{row.team.slug}/{row}") for row in models]),
        ("family", _("Any family"), list(Family.choices)),
        ("task", _("Any task"), list(Task.choices)),
    ]
    return [
        {"name": name, "label": label, "value": query.get(name, ""), "options": options}
        for name, label, options in offered
    ]


def _number(text: str) -> int | None:
    """The id that a filter names; what is no number filters nothing."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None
