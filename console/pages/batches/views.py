"""The list of batches, one batch, its files, and stopping it."""

import json
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.pages.batches.excerpts import error_reasons, first_answers
from console.pages.lists import list_context, page_of, team_menu, teams_seen
from models_app.batches.selectors import batch_counts, batch_get, batch_list
from models_app.batches.services import batch_cancel
from models_app.core.errors import WrongState
from models_app.core.reading import blob_reader
from models_app.core.teams import teams_where
from models_app.jobs.states import TERMINAL

FILES = {"output": "output_file", "errors": "error_file", "input": "input_file"}


@login_required
def batch_list_view(request: HttpRequest) -> HttpResponse:
    """Batches of my teams, newest first."""
    actor: Any = request.user
    page = page_of(request, batch_list(actor=actor, team=request.GET.get("team", "")))
    rows: list[Any] = list(page.object_list)
    for row in rows:
        row.counts = batch_counts(row)
    teams = teams_seen(actor)
    count = page.paginator.count
    return render(
        request,
        "batches/list.html",
        {
            **list_context(request, page, teams, [team_menu(teams)]),
            "rows": rows,
            "may_start": bool(teams_where(actor, "jobs.submit_job")),
            "result": ngettext("%(n)s batch", "%(n)s batches", count) % {"n": count},
        },
    )


@login_required
def batch_detail(request: HttpRequest, key: str) -> HttpResponse:
    """How far it is, the first answers, why others have none, and the files."""
    actor: Any = request.user
    batch = batch_get(actor=actor, key=key)
    counts = batch_counts(batch)
    done = counts["completed"] + counts["failed"]
    job = batch.job
    return render(
        request,
        "batches/detail.html",
        {
            "batch": batch,
            "job": job,
            "counts": counts,
            "percent": 100 * done / counts["total"] if counts["total"] else 0,
            "is_open": job is not None and job.state not in TERMINAL,
            "may_cancel": actor.has_perm("jobs.cancel_job", batch),
            "topic": f"job.{job.pk}" if job else "",
            "answers": first_answers(batch),
            "reasons": error_reasons(batch),
            "template": json.dumps(batch.template, ensure_ascii=False, indent=2)
            if batch.template
            else "",
        },
    )


@login_required
@require_POST
def batch_cancel_view(request: HttpRequest, key: str) -> HttpResponse:
    """Stop it; what is answered is kept."""
    actor: Any = request.user
    batch = batch_get(actor=actor, key=key)
    try:
        batch_cancel(actor=actor, batch=batch)
    except WrongState as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("The batch stops; what is answered by now is kept."))
    return redirect("batch_detail", key)


@login_required
def batch_file(request: HttpRequest, key: str, which: str) -> HttpResponseBase:
    """Requests, answers or errors as JSON lines."""
    actor: Any = request.user
    batch = batch_get(actor=actor, key=key)
    file = getattr(batch, FILES[which]) if which in FILES else None
    if file is None:
        raise Http404
    return FileResponse(
        blob_reader(file.sha256), content_type="application/jsonl", filename=file.name,
        as_attachment=True,
    )  # fmt: skip
