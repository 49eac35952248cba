"""Views of one version: preview, statistics, source, used by, single documents."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.datasets.chosen import chosen_documents, finding_filter
from console.pages.datasets.documents import LONGEST_SHOWN, Documents, per_page, shown_document
from console.pages.datasets.figures import average_length, histograms, splits
from console.pages.datasets.prepare_form import settings_lines, step_lines
from console.pages.datasets.uploading import CHANGE
from models_app.core.errors import NotFound
from models_app.datasets import selectors
from models_app.datasets.lengths import document_text
from models_app.datasets.models import DatasetVersion
from models_app.datasets.quality import quality_of
from models_app.datasets.services import version_reimport
from models_app.datasets.states import VersionState
from models_app.jobs.models import Job
from models_app.jobs.waiting import why_waiting
from models_app.registry.selectors import evaluation_list
from models_app.registry.selectors import version_list as model_versions

FILES_PER_PAGE = 50
PER_PAGE = 25


def version_shown(request: HttpRequest, team: str, name: str, number: int) -> DatasetVersion:
    """The version of an address, or NotFound."""
    actor: Any = request.user
    return selectors.version_numbered(actor=actor, team=team, name=name, number=number)


def show_tab(request: HttpRequest, version: DatasetVersion, tab: str, **more: Any) -> HttpResponse:
    """The page of a version with one of its tabs."""
    actor: Any = request.user
    topic, job = f"dataset.{version.dataset_id}", version.produced_by
    if version.state == VersionState.PENDING and version.produced_by_id:
        topic += f" job.{version.produced_by_id}"
    tabs = [
        ("preview", _("Preview"), "dataset_version"),
        ("quality", _("Quality"), "dataset_version_quality"),
        ("statistics", _("Statistics"), "dataset_version_statistics"),
        ("source", _("Source"), "dataset_version_source"),
        ("used", _("Used by"), "dataset_version_used"),
    ]
    if version.state != VersionState.READY:
        # Whatever the tab, there are only the files so far.
        more["page"] = _source_files(request, version)
    context = {
        "version": version,
        "dataset": version.dataset,
        "job": job,
        "topic": topic,
        "tab": tab,
        "tabs": tabs,
        "why": why_waiting(job=job) if job and version.state == VersionState.PENDING else "",
        "counts": version.counts,
        "total": version.counts.get("total", {}),
        "may_change": actor.has_perm(CHANGE, version),
        "quality": quality_of(version),
        **more,
    }
    return render(request, f"datasets/version_{tab}.html", context)


@login_required
def preview(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Documents of either split, in pages; those that hold a text; those behind a finding."""
    version = version_shown(request, team, name, number)
    split = request.GET.get("split", "")
    split = split if split in selectors.SPLITS else "train"
    shared = {"split": split, "splits": splits(version), "finding_filter": finding_filter(version)}
    chosen = chosen_documents(request, version, split)
    if chosen is not None:
        return show_tab(request, version, "preview", **shared, **chosen)
    documents: Any = Documents(version, split)
    page = Paginator(documents, per_page(version, split)).get_page(request.GET.get("page"))
    return show_tab(
        request,
        version,
        "preview",
        page=page,
        documents=[shown_document(row) for row in page.object_list],
        **shared,
    )


@login_required
def statistics(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Counts of each split, and how long the documents are."""
    version = version_shown(request, team, name, number)
    return show_tab(
        request,
        version,
        "statistics",
        splits=splits(version),
        average=average_length(version.counts.get("total", {})),
        histograms=histograms(version),
    )


@login_required
def source(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """What the version was made of: files, options, job; and the files that it is."""
    version = version_shown(request, team, name, number)
    kept = sorted(version.manifest.items())
    return show_tab(
        request,
        version,
        "source",
        page=_source_files(request, version),
        parameters=settings_lines(version),
        steps=step_lines(version.source.get("steps")),
        took=_took(version.produced_by),
        manifest=kept[:FILES_PER_PAGE],
        kept_more=max(0, len(kept) - FILES_PER_PAGE),
    )


def _took(job: Job | None) -> timedelta | None:
    if job is None or job.started_at is None or job.finished_at is None:
        return None
    return job.finished_at - job.started_at


def _source_files(request: HttpRequest, version: DatasetVersion) -> Page[Any]:
    files = version.source.get("files", [])
    return Paginator(files, FILES_PER_PAGE).get_page(request.GET.get("page"))


@login_required
def used(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Model versions that were trained on it, or evaluations that were scored on it."""
    actor: Any = request.user
    version = version_shown(request, team, name, number)
    trained = model_versions(actor=actor).filter(dataset_version=version)
    scored = evaluation_list(actor=actor, dataset_version=version.pk)
    what = "evaluations" if request.GET.get("show") == "evaluations" else "models"
    rows: Any = scored if what == "evaluations" else trained
    return show_tab(
        request,
        version,
        "used",
        what=what,
        page=Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
        version_id=str(version.pk),
        trained_count=trained.count(),
        scored_count=scored.count(),
    )


def _document(version: DatasetVersion, split: str, index: int) -> str:
    if split not in selectors.SPLITS or index >= len(Documents(version, split)):
        raise NotFound(_("There is no such document."))
    return document_text(
        selectors.version_rows(version=version, split=split, offset=index, limit=1)[0]
    )


@login_required
def document(
    request: HttpRequest, team: str, name: str, number: int, split: str, index: int
) -> HttpResponse:
    """One document whole; for a script only its text, to be put in place."""
    version = version_shown(request, team, name, number)
    text = _document(version, split, index)
    context = {
        "version": version,
        "dataset": version.dataset,
        "split": split,
        "index": index,
        "text": text[:LONGEST_SHOWN],
        "characters": len(text),
        "cut": len(text) > LONGEST_SHOWN,
        "shown": LONGEST_SHOWN,
        "before": index - 1 if index else None,
        "after": index + 1 if index + 1 < len(Documents(version, split)) else None,
    }
    part = request.headers.get("hx-request") == "true"
    template = "datasets/_document_text.html" if part else "datasets/document.html"
    return render(request, template, context)


@login_required
def document_file(
    request: HttpRequest, team: str, name: str, number: int, split: str, index: int
) -> HttpResponse:
    """One document as a text file."""
    version = version_shown(request, team, name, number)
    response = HttpResponse(
        _document(version, split, index), content_type="text/plain; charset=utf-8"
    )
    file = f"{name}-v{number}-{split}-{index}.txt"
    response["Content-Disposition"] = f'attachment; filename="{file}"'
    return response


@login_required
@require_POST
def again(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """The same files and options once more, as a new version."""
    actor: Any = request.user
    made = version_reimport(actor=actor, version=version_shown(request, team, name, number))
    messages.success(request, _("The import is queued. This page follows it."))
    return redirect("dataset_version", team, name, made.number)
