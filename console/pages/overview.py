"""The first page: what needs you, how the service does, what is in flight, what happened."""

import datetime as dt
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.alerts.words import alert_row
from console.pages.jobs.reasons import said
from console.pages.states import look_of
from models_app.alerts import selectors as alerts
from models_app.approvals.selectors import approval_list
from models_app.audit.selectors import event_list
from models_app.core.clock import now
from models_app.core.teams import team_rows, teams_where
from models_app.datasets.models import Dataset
from models_app.deployments.models import Deployment
from models_app.deployments.selectors import deployment_list, deployment_status
from models_app.deployments.statistics import request_figures
from models_app.deployments.traffic import traffic
from models_app.jobs.selectors import job_list, pool_depth
from models_app.jobs.states import JobState
from models_app.pools.selectors import node_list

SPANS = {
    "1h": (dt.timedelta(hours=1), gettext_lazy("1 hour")),
    "24h": (dt.timedelta(hours=24), gettext_lazy("24 hours")),
    "7d": (dt.timedelta(days=7), gettext_lazy("7 days")),
}


@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """Needs you first, then figures, work, deployments, activity."""
    actor: Any = request.user
    span = request.GET.get("span", "1h") if request.GET.get("span") in SPANS else "1h"
    jobs = job_list(actor=actor, state="open").exclude(kind="serve")
    deployments = list(deployment_list(actor=actor)[:8])
    teams = list(team_rows(actor)[:50])
    figures = traffic(actor=actor, span=SPANS[span][0])
    return render(
        request,
        "overview/overview.html",
        {
            "span": span,
            "spans": [(key, label) for key, (_span, label) in SPANS.items()],
            "todo": todo(actor),
            "traffic": figures,
            "waiting": sum(pool_depth().values()),
            "jobs": jobs[:8],
            "num_jobs": jobs.count(),
            "recent": job_list(actor=actor).exclude(kind="serve")[:5],
            "deployments": [_deployment(row) for row in deployments],
            "num_serving": _num_serving(actor),
            "events": event_list(actor=actor)[:10],
            "nodes": node_list() if actor.has_perm("pools.view_node") else [],
            "may_deploy": bool(teams_where(actor, "deployments.add_deployment")),
            "may_train": bool(teams_where(actor, "jobs.submit_job")),
            "is_new": not Dataset.objects.visible_to(actor).exists(),
            "topics": " ".join(f"team.{team.pk}" for team in teams),
        },
    )


def todo(actor: Any) -> list[dict[str, str]]:
    """Cards that wait for this person: alerts, approvals, failures of the last day."""
    cards = _firing(actor)
    cards += [
        {
            "tone": "violet",
            "icon": "user-check",
            "title": str(request.title),
            "text": _("Asked by %(who)s. It waits for your decision.")
            % {"who": request.created_by},
            "href": reverse("approval_detail", args=[request.pk]),
            "action": _("Review"),
        }
        for request in approval_list(actor=actor, whose="me")[:3]
    ]
    since = now() - dt.timedelta(hours=24)
    failed = job_list(actor=actor, state=JobState.FAILED).filter(
        finished_at__gt=since, created_by_id=actor.pk, reruns=None
    )
    cards += [
        {
            "tone": "red",
            "icon": "alert-triangle",
            "title": _("Job %(n)s failed") % {"n": job.pk},
            "text": f"{job.title}: {said(job.reason)[:160]}",
            "href": reverse("job_detail", args=[job.pk]),
            "action": _("Open the log"),
        }
        for job in failed[:2]
    ]
    tried = job_list(actor=actor, state="open").filter(barren_attempts__gt=1).exclude(kind="serve")
    cards += [
        {
            "tone": "amber",
            "icon": "refresh",
            "title": _("Job %(job)s is on attempt %(n)s") % {"job": job.pk, "n": job.epoch},
            "text": said(job.reason)[:160],
            "href": reverse("job_detail", args=[job.pk]),
            "action": _("Open the log"),
        }
        for job in tried[:2]
    ]
    return cards


def _firing(actor: Any) -> list[dict[str, str]]:
    """The worst alerts that nobody looks after yet."""
    rows = alerts.worst_first(alerts.alert_list(actor=actor, state="firing"))
    found = []
    for row in map(alert_row, rows[:3]):
        look = look_of(row.alert.severity, "severity")
        said = f"{look.label}: {row.signal} {row.value} ({row.bound}). {row.alert.note}"
        found.append(
            {
                "tone": look.tone,
                "icon": look.icon,
                "title": f"{row.alert.rule} · {row.subject}",
                "text": said[:200].strip(),
                "href": f"{reverse('alert_list')}#alert-{row.alert.pk}",
                "action": _("Open the alerts"),
            }
        )
    return found


def _num_serving(actor: Any) -> int:
    rows = Deployment.objects.visible_to(actor)
    return int(rows.filter(stopped_at=None, active_revision__isnull=False).count())


def _deployment(row: Any) -> dict[str, Any]:
    return {"row": row, "status": deployment_status(row), "figures": request_figures(row)}


urlpatterns = [path("", overview, name="overview")]
