"""Views of the store: what fills it, what is garbage, what was checked."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.pages.figures import size
from console.pages.storage.actions import SAMPLE
from console.pages.storage.picture import legend, pictures
from console.pages.storage.words import holder_href, kind_word
from models_app.routing.retention import requests_kept
from models_app.storage import selectors
from models_app.storage.inventory import GRACE
from models_app.storage.models import Holder, StoreReport, StoreRun

SHOWN, RUNS, PER_PAGE = 10, 8, 100
#: A disk with less room than this part of it is pointed out.
NARROW = 0.1


@login_required
def store_overview(request: HttpRequest) -> HttpResponse:
    """Everything at a glance; for platform admins."""
    actor: Any = request.user
    report = selectors.report_newest(actor=actor)
    runs = list(selectors.run_list(actor=actor)[:RUNS])
    context: dict[str, Any] = {
        "report": report,
        "runs": [_run(run) for run in runs],
        "busy": {run.kind for run in runs if run.state in ("queued", "running")},
        "may_manage": actor.has_perm("storage.manage_store"),
        "sample": SAMPLE,
        "requests": requests_kept(),
        "requests_days": settings.REQUEST_KEEP_DAYS,
        "requests_most": settings.REQUEST_MOST,
    }
    if report is not None:
        context |= _facts(actor, report)
    return render(request, "storage/overview.html", context)


@login_required
def store_garbage(request: HttpRequest) -> HttpResponse:
    """Every file that nobody names: what it was, since when, until when it is kept."""
    actor: Any = request.user
    rows = selectors.file_list(actor=actor, of="garbage").order_by("unnamed_since", "id")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "garbage": selectors.garbage_of(page.object_list),
        "due": selectors.garbage_due(actor=actor),
        "report": selectors.report_newest(actor=actor),
        "grace_h": int(GRACE.total_seconds() // 3600),
        "may_manage": actor.has_perm("storage.manage_store"),
    }
    return render(request, "storage/garbage.html", context)


def _facts(actor: Any, report: StoreReport) -> dict[str, Any]:
    holders = list(selectors.holder_list(actor=actor).order_by("-share_bytes", "-id")[:40])
    named = report.bytes - report.garbage_bytes
    history = [row.bytes for row in selectors.report_list(actor=actor)[:60]]
    garbage = selectors.file_list(actor=actor, of="garbage").order_by("-size", "id")[:SHOWN]
    damaged = selectors.file_list(actor=actor, of="damaged")[:SHOWN]
    return {
        "pictures": pictures(report, holders),
        "legend": legend(report),
        "holders": [_holder(row) for row in holders[:SHOWN]],
        "teams": _teams(report),
        "factor": report.logical_bytes / named if named else None,
        "saved": max(0, report.logical_bytes - named),
        "history": history[::-1],
        "disk": _disk(report),
        "garbage": selectors.garbage_of(garbage),
        "due": selectors.garbage_due(actor=actor),
        "checked": _checked(actor),
        "damaged": [{"file": row, "holders": _names(row.named_by)} for row in damaged],
        "grace_h": int(GRACE.total_seconds() // 3600),
    }


def _disk(report: StoreReport) -> dict[str, Any] | None:
    if report.total_bytes is None or report.free_bytes is None or not report.total_bytes:
        return None
    ours = 100 * report.bytes / report.total_bytes
    taken = 100 * (1 - report.free_bytes / report.total_bytes)
    narrow = report.free_bytes < NARROW * report.total_bytes
    return {
        "free": report.free_bytes,
        "total": report.total_bytes,
        "ours": ours,
        "others": max(0.0, taken - ours),
        "taken": taken,
        "tone": "red" if narrow else "blue",
        "narrow": narrow,
    }


def _checked(actor: Any) -> dict[str, Any]:
    facts = selectors.checked(actor=actor)
    total = facts["bytes_total"]
    return {**facts, "percent": 100 * facts["bytes"] / total if total else 0.0}


def _teams(report: StoreReport) -> list[dict[str, Any]]:
    largest = max((facts["share_bytes"] for facts in report.by_team.values()), default=0)
    rows = [
        {"slug": slug, "percent": 100 * facts["share_bytes"] / largest if largest else 0, **facts}
        for slug, facts in report.by_team.items()
    ]
    return sorted(rows, key=lambda row: -row["share_bytes"])


def _holder(row: Holder) -> dict[str, Any]:
    return {"row": row, "kind": kind_word(row.kind), "href": holder_href(row)}


def _names(numbers: list[int]) -> list[str]:
    return [str(row) for row in Holder.objects.filter(pk__in=numbers)]


def _run(run: StoreRun) -> dict[str, Any]:
    percent = 100 * run.bytes / run.bytes_total if run.bytes_total else None
    return {"run": run, "percent": percent, "amount": size(run.bytes)}
