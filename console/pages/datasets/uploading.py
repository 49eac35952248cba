"""Pages that bring text in, by upload or from the import directory."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from console.pages.datasets.forms import DatasetForm, VersionForm
from console.pages.forms import add_errors
from console.pages.uploads import takes_uploads
from models_app.core.errors import Conflict, InvalidInput
from models_app.core.permission import require
from models_app.core.teams import teams_where
from models_app.datasets import selectors
from models_app.datasets.importing import parameters_of
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.services import (
    dataset_create_imported,
    version_import_files,
    version_import_path,
    version_reimport,
)
from models_app.datasets.states import VersionState

ADD = "datasets.add_dataset"
CHANGE = "datasets.change_dataset"


def _may_add(request: HttpRequest) -> None:
    require(request.user, ADD)  # type: ignore[arg-type]


def _may_change(request: HttpRequest, team: str, name: str) -> None:
    actor: Any = request.user
    require(actor, CHANGE, selectors.dataset_named(actor=actor, team=team, name=name))


@takes_uploads(_may_add)
def dataset_new(request: HttpRequest) -> HttpResponse:
    """A name and its first version, in one form."""
    actor: Any = request.user
    teams = teams_where(actor, ADD)
    form = DatasetForm(
        request.POST or None,
        request.FILES or None,
        teams=teams,
        team=request.GET.get("team", ""),
    )
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        uploaded = given["source"] == "upload"
        try:
            version = dataset_create_imported(
                actor=actor,
                team=form.teams[given["team"]],
                name=given["name"],
                description=given["description"],
                files=given["files"] if uploaded else None,
                path=given["path"],
                options=form.options(),
                idempotency_key=form.key_for_service(),
            )
        except (InvalidInput, Conflict) as error:
            _say(form, error)
        else:
            return _started(request, version)
    context = {"form": form, "teams": teams, **_limits()}
    return render(request, "datasets/new.html", context, status=422 if form.errors else 200)


@takes_uploads(_may_change)
def dataset_upload(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """A further version; `?from=3` begins with the options of v3 and offers its files again."""
    actor: Any = request.user
    dataset = selectors.dataset_named(actor=actor, team=team, name=name)
    base = _base(actor, dataset, request.GET.get("from", ""))
    form = VersionForm(
        request.POST or None,
        request.FILES or None,
        initial=parameters_of(base.source) if base else None,
        again=_("The files of v%(n)s again") % {"n": base.number} if base else "",
    )
    if request.method == "POST" and form.is_valid():
        try:
            version = _import(actor, dataset, base, form)
        except (InvalidInput, Conflict) as error:
            _say(form, error)
        else:
            return _started(request, version)
    context = {"form": form, "dataset": dataset, "base": base, **_limits()}
    return render(request, "datasets/upload.html", context, status=422 if form.errors else 200)


def _import(
    actor: Any, dataset: Dataset, base: DatasetVersion | None, form: VersionForm
) -> DatasetVersion:
    given, options, key = form.cleaned_data, form.options(), form.key_for_service()
    if given["source"] == "again" and base is not None:
        return version_reimport(actor=actor, version=base, options=options)
    if given["source"] == "path":
        return version_import_path(
            actor=actor,
            dataset=dataset,
            path=given["path"],
            options=options,
            idempotency_key=key,
        )
    return version_import_files(
        actor=actor, dataset=dataset, files=given["files"], options=options, idempotency_key=key
    )


def _base(actor: Any, dataset: Dataset, number: str) -> DatasetVersion | None:
    """The import to begin with: the one asked for, else the newest for its options."""
    rows = selectors.version_list(actor=actor, dataset=dataset)
    rows = rows.exclude(state=VersionState.PENDING).filter(parent=None)
    if number.isascii() and number.isdecimal() and len(number) < 10:
        return rows.filter(number=int(number)).first()
    return rows.first()


def _limits() -> dict[str, int]:
    return {"upload_limit": settings.UPLOAD_LIMIT_MIB << 20}


def _say(form: VersionForm, error: InvalidInput | Conflict) -> None:
    """The service's refusal beside its field; a taken name is one as well."""
    if isinstance(error, Conflict):
        field = error.extra.get("field")
        error = InvalidInput({str(field or "name"): error.message})
    add_errors(form, error)


def _started(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """To the page of the version; a script that uploaded is told where that is."""
    messages.success(request, _("The import is queued. This page follows it."))
    dataset = version.dataset
    where = (dataset.team.slug, dataset.name, version.number)
    if "x-upload" in request.headers:
        return JsonResponse({"location": reverse("dataset_version", args=where)}, status=201)
    return redirect("dataset_version", *where)
