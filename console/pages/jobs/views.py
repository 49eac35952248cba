"""Views of job pages: each reads through selectors or calls one service."""

import datetime as dt
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.pages.context import nav_count
from console.pages.forms import add_errors
from console.pages.jobs.beside import Beside, runs_beside
from console.pages.jobs.charts import (
    COURSE,
    COURSE_SLUG,
    FEW,
    Group,
    chart_data,
    empty_chart,
    groups_of,
    new_points,
)
from console.pages.jobs.control import PriorityForm, too_high, ways
from console.pages.jobs.forms import KindForm
from console.pages.jobs.here import why_here
from console.pages.jobs.logged import logged_with
from console.pages.jobs.produced import children_of, inputs_of, produced_by
from console.pages.jobs.rows import attempts_of, flat, settings_of
from console.pages.jobs.runs import changes_since, run_of
from console.pages.jobs.watching import large, watched
from console.pages.tagging import run_tagging
from models_app.core.errors import InvalidInput, NotFound, PermissionDenied
from models_app.core.teams import team_rows
from models_app.core.validation import parse
from models_app.jobs import logs, metrics, selectors
from models_app.jobs.api import MetricQuery
from models_app.jobs.gangs import parts_of
from models_app.jobs.kind import job_kinds
from models_app.jobs.log_api import (
    DownloadQuery,
    LogQuery,
    LogSearchQuery,
    log_download,
    log_hits,
    log_page,
)
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel, job_rerun, job_submit
from models_app.jobs.states import OPEN, JobState
from models_app.jobs.waiting import refusals, why_waiting
from models_app.pools.selectors import pool_list

LINES_ON_PAGE = 400


@nav_count("job_list", "job.changed")
def jobs_in_flight(user: Any) -> dict[str, Any]:
    """The number beside the navigation entry."""
    return {"value": selectors.jobs_in_flight(actor=user), "tone": "", "hint": _("in flight")}


@login_required
def job_list(request: HttpRequest) -> HttpResponse:
    """Jobs, filtered by what the URL says."""
    actor: Any = request.user
    chosen = {name: request.GET.get(name, "") for name in ("state", "kind", "team", "pool")}
    rows = selectors.job_list(actor=actor, query=request.GET.get("q", ""), **chosen)
    page = Paginator(rows, 25).get_page(request.GET.get("page"))
    count = page.paginator.count
    states = [("open", _("Not over")), ("active", _("Held by a worker")), *JobState.choices]
    kinds = [(kind.name, _(kind.label)) for kind in sorted(job_kinds, key=lambda k: k.name)]
    teams = [(team.slug, str(team)) for team in team_rows(actor)]
    pools = [(pool.name, pool.name) for pool in pool_list(actor=actor)]
    lists = [
        ("state", _("Any state"), states),
        ("kind", _("Any kind"), kinds),
        ("team", _("Any team"), teams),
        ("pool", _("Any pool"), pools),
    ]
    return render(
        request,
        "jobs/list.html",
        {
            "page": page,
            "filters": [
                {"name": name, "label": label, "value": chosen[name], "options": options}
                for name, label, options in lists
            ],
            "rows": [(job, ways(actor, job)) for job in page.object_list],
            "search": {"value": request.GET.get("q", ""), "placeholder": _("Title or number")},
            "result": ngettext("%(n)s job", "%(n)s jobs", count) % {"n": count},
            "topics": " ".join(f"team.{team.pk}" for team in team_rows(actor)[:50]),
            "kinds": submittable(),
        },
    )


@login_required
def job_new(request: HttpRequest) -> HttpResponse:
    """Submit a job of any kind that may be submitted directly."""
    actor: Any = request.user
    kinds = submittable()
    name = request.GET.get("kind", kinds[0].name if kinds else "")
    kind = next((kind for kind in kinds if kind.name == name), None)
    if kind is None:
        raise NotFound
    form = KindForm(request.POST or None, kind=kind, actor=actor)
    if request.method == "POST" and form.is_valid():
        try:
            job = job_submit(
                actor=actor,
                team=team_rows(actor).get(slug=form.cleaned_data["team"]),
                kind=kind.name,
                params=form.params(),
                title=form.cleaned_data["title"],
                **form.placing(),
            )
            return redirect("job_detail", job.pk)
        except InvalidInput as error:
            add_errors(form, form.placed_errors(error))
        except PermissionDenied as error:
            if error.extra.get("permission") != "jobs.prioritise_job":
                raise
            form.add_error("priority", too_high())
    return render(
        request,
        "jobs/new.html",
        {"form": form, "kind": kind, "kinds": kinds},
        status=422 if form.errors else 200,
    )


@login_required
def job_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything of one job, live."""
    job = _job(request, pk)
    groups = groups_of(metrics.metric_names(job=job))
    group = next(
        (g for g in groups if g.slug == request.GET.get("chart")), groups[0] if groups else None
    )
    kind = job_kinds.get(job.kind)
    actor: Any = request.user
    run = run_of(job)
    beside = runs_beside(job, request.GET.getlist("with"))
    return render(
        request,
        "jobs/detail.html",
        {
            "job": job,
            "topic": f"job.{job.pk}",
            "kind": kind,
            "kind_label": _(kind.label),
            "is_open": job.state in OPEN,
            "why": why_waiting(job=job),
            "refusals": refusals(job=job),
            "why_here": why_here(job),
            "ways": ways(actor, job),
            "priority_form": PriorityForm(actor=actor, job=job),
            "sees_pool": pool_list(actor=actor).filter(pk=job.pool_id).exists(),
            "sees_nodes": actor.has_perm("pools.view_node"),
            "attempts": attempts_of(job),
            "parts": parts_of(job) if job.nodes > 1 else [],
            "checkpoints": list(job.checkpoints.order_by("-step")[:10]),
            "latest": metrics.metric_latest(job=job),
            "large": large(groups, group),
            "group": group,
            "chart": _chart(request, job, group, beside) if group else None,
            "beside": beside,
            "course_slug": COURSE_SLUG,
            **watched(actor, job, request.GET, groups),
            "lines": [_shown(line) for line in logs.log_tail(job=job, count=LINES_ON_PAGE)],
            "closed": logs.log_closed(job),
            "stream": logs.log_topic(job.pk),
            "result": flat(job.result or {}),
            "settings": settings_of(job),
            "produced": produced_by(job),
            **run_tagging(actor, job),
            **logged_with(job),
            "inputs": inputs_of(job),
            "may_change": bool(run and run.may(actor)),
            "may_continue": bool(run and run.continues and run.may(actor)),
            "repeats": job.rerun_of,
            "repeat_changes": changes_since(job),
            "repeat_labels": (f"#{job.rerun_of_id}", f"#{job.pk}"),
            "children": children_of(job),
            "may_cancel": actor.has_perm("jobs.cancel_job", job),
            "may_rerun": kind.submittable and actor.has_perm("jobs.rerun_job", job),
        },
    )


def _chart(request: HttpRequest, job: Job, group: Group, beside: list[Beside]) -> dict[str, Any]:
    others = [(row.pk, row.label) for row in beside if row.chosen]
    if "X-Live-Refresh" in request.headers and not others:
        return empty_chart(group)  # a chart that is shown already keeps what it has
    return chart_data(job, group, others)


@login_required
def job_log_json(request: HttpRequest, pk: int) -> HttpResponse:
    """Log lines after a number."""
    query = parse(LogQuery, request.GET.dict())
    return JsonResponse(log_page(_job(request, pk), query))


@login_required
def job_log_text(request: HttpRequest, pk: int) -> Any:
    """The whole log as a text file."""
    return log_download(_job(request, pk), parse(DownloadQuery, request.GET.dict()))


@login_required
def job_log_search(request: HttpRequest, pk: int) -> HttpResponse:
    """Lines of the whole log that contain a text, a page at a time."""
    query = parse(LogSearchQuery, request.GET.dict())
    try:
        return JsonResponse(log_hits(_job(request, pk), query))
    except InvalidInput as error:
        return JsonResponse({"error": " ".join(error.errors.get("q", [str(error)]))}, status=422)


@login_required
def job_metrics_json(request: HttpRequest, pk: int, group: str) -> HttpResponse:
    """New points of one chart, or of all small ones."""
    job = _job(request, pk)
    query = parse(MetricQuery, request.GET.dict())
    known = groups_of(metrics.metric_names(job=job))
    if group == COURSE_SLUG:
        points = new_points(job, [g for g in known if g in COURSE], query.after_step, FEW)
    else:
        points = new_points(job, [g for g in known if g.slug == group], query.after_step)
    return JsonResponse({"points": points})


@login_required
@require_POST
def job_cancel_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop the job."""
    actor: Any = request.user
    job = job_cancel(actor=actor, job=_job(request, pk))
    if job.state == JobState.CANCELING:
        messages.info(request, _("Asked to stop. It saves what it can first."))
    else:
        messages.success(request, _("Cancelled."))
    return redirect("job_detail", pk)


@login_required
@require_POST
def job_rerun_view(request: HttpRequest, pk: int) -> HttpResponse:
    """The same work again, as a new job."""
    actor: Any = request.user
    job = job_rerun(actor=actor, job=_job(request, pk))
    messages.success(request, _("Queued again as a new job."))
    return redirect("job_detail", job.pk)


def submittable() -> list[Any]:
    """Kinds with a form of their own making."""
    return [kind for kind in sorted(job_kinds, key=lambda k: k.name) if kind.submittable]


def _shown(line: logs.LogLine) -> dict[str, Any]:
    at = dt.datetime.fromisoformat(line.at)
    return {
        "seq": line.seq,
        "at": at,
        "stream": line.stream,
        "level": line.level,
        "text": line.text,
    }


def _job(request: HttpRequest, pk: int) -> Job:
    actor: Any = request.user
    return selectors.job_get(actor=actor, job_id=pk)
