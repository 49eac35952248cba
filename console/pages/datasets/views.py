"""Views of datasets: the list, one dataset, its description."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.pages.datasets.forms import DescriptionForm
from console.pages.datasets.uploading import ADD, CHANGE
from console.pages.forms import add_errors
from console.pages.lists import list_context, page_of, team_menu, teams_seen
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.core.teams import teams_where
from models_app.datasets import selectors
from models_app.datasets.services import dataset_describe
from models_app.datasets.states import VersionState
from models_app.registry.selectors import version_list as model_versions

PER_PAGE = 25
#: How many models a dataset's page names before it counts.
MODELS_SHOWN = 8


@login_required
def dataset_list(request: HttpRequest) -> HttpResponse:
    """Datasets of my teams, each with its newest version."""
    actor: Any = request.user
    query, team = request.GET.get("q", ""), request.GET.get("team", "")
    rows = selectors.dataset_list(actor=actor, team=team, name=query.strip())
    page = page_of(request, rows)
    shown: list[Any] = list(page.object_list)
    newest = selectors.versions_newest(actor=actor, datasets=shown)
    ready = selectors.versions_newest(actor=actor, datasets=shown, state=VersionState.READY)
    for row in shown:
        row.newest, row.ready = newest.get(row.pk), ready.get(row.pk)
    teams = teams_seen(actor)
    count = page.paginator.count
    return render(
        request,
        "datasets/list.html",
        {
            **list_context(request, page, teams, [team_menu(teams)]),
            "rows": shown,
            "may_create": bool(teams_where(actor, ADD)),
            "filtered": bool(query or team),
            "search": {"value": query, "placeholder": _("Name")},
            "result": ngettext("%(n)s dataset", "%(n)s datasets", count) % {"n": count},
        },
    )


@login_required
def dataset_detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """One dataset: its versions, and what was trained on it."""
    actor: Any = request.user
    dataset = selectors.dataset_named(actor=actor, team=team, name=name)
    versions = selectors.version_list(actor=actor, dataset=dataset).select_related(
        "produced_by__created_by"
    )
    page = Paginator(versions.defer("manifest", "preview"), PER_PAGE).get_page(
        request.GET.get("page")
    )
    trained = model_versions(actor=actor).filter(dataset_version__dataset=dataset)
    newest = selectors.versions_newest(actor=actor, datasets=[dataset], state=VersionState.READY)
    return render(
        request,
        "datasets/detail.html",
        {
            "dataset": dataset,
            "topic": f"dataset.{dataset.pk}",
            "page": page,
            "versions": page.object_list,
            "newest": newest.get(dataset.pk),
            "trained": trained[:MODELS_SHOWN],
            "trained_count": trained.count(),
            "may_change": actor.has_perm(CHANGE, dataset),
        },
    )


@login_required
def dataset_edit(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Change what is said about a dataset."""
    actor: Any = request.user
    dataset = selectors.dataset_named(actor=actor, team=team, name=name)
    require(actor, CHANGE, dataset)
    initial = {"description": dataset.description}
    form = DescriptionForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            dataset_describe(actor=actor, dataset=dataset, **form.cleaned_data)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("The description is changed."))
            return redirect("dataset_detail", team, name)
    return render(
        request,
        "datasets/edit.html",
        {"dataset": dataset, "form": form},
        status=422 if form.errors else 200,
    )
