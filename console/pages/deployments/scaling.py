"""What the section about scaling says: numbers, causes in words, and the course as a picture."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.jobs.here import why_here
from console.pages.week import DAYS, week_picture
from models_app.core.clock import now
from models_app.deployments.models import Deployment, Replica, ScalingEvent
from models_app.deployments.scaling_view import ScalingNow, scaling_now
from models_app.deployments.states import ReplicaState
from models_app.jobs.states import JobState

#: Size of the picture in its own units.
WIDTH, HEIGHT = 600, 80
CAUSES: dict[str, Promise] = {
    "hand": gettext_lazy("By hand"),
    "load": gettext_lazy("Requests"),
    "latency": gettext_lazy("First token"),
    "hours": gettext_lazy("Hours"),
    "idle": gettext_lazy("Nobody asked"),
    "wake": gettext_lazy("Woken by a request"),
    "bounds": gettext_lazy("Other bounds"),
}


def scaling_context(row: Deployment) -> dict[str, Any]:
    """`scaling` for the section; nothing while no revision is active."""
    found = scaling_now(row)
    if found is None:
        return {}
    events: list[Any] = list(found.events)
    for event in events:
        event.cause_words = CAUSES.get(event.cause, event.cause)
        event.figure_words = _figures(event)
    return {
        "scaling": found,
        "scaling_events": events,
        "scaling_line": _line(found),
        "scaling_week": week_picture(found.settings)
        if found.settings and found.settings.hours
        else None,
        "scaling_hours": [
            (", ".join(str(DAYS[day]) for day in hours.days) or _("every day"), hours, there)
            for hours, there in found.hours()
        ],
    }


def _line(found: ScalingNow) -> dict[str, Any]:
    """The wanted number as a line with corners, and the area below it."""
    top, points = found.most, []
    for step in found.steps:
        y = HEIGHT - HEIGHT * step.wanted / top
        points += [f"{WIDTH * step.start:.1f},{y:.1f}", f"{WIDTH * step.end:.1f},{y:.1f}"]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "points": " ".join(points),
        "area": f"0,{HEIGHT} {' '.join(points)} {WIDTH},{HEIGHT}",
        "most": top,
    }


def _figures(event: ScalingEvent) -> str:
    """What it was decided by, in a few words."""
    said = event.figures
    if event.cause == "hand":
        return str(said.get("reason", ""))
    if event.cause == "latency":
        words = {"p95": round(said["first_token_ms"]), "most": said["target_first_token_ms"]}
        return _("p95 %(p95)s ms, target %(most)s ms") % words
    if event.cause == "load" and "running" in said:
        words = {
            "running": said["running"],
            "waiting": said["waiting"],
            "target": f"{said['target_requests']:g}",
        }
        return _("%(running)s running, %(waiting)s waiting, %(target)s per replica") % words
    return ""


def mark_replicas(replicas: list[Replica]) -> None:
    """Beside a replica that has crashed: when it is tried again, and its last deaths."""
    at = now()
    rows: list[Any] = list(replicas)
    for replica in rows:
        job = replica.job
        replica.next_try = None
        replica.why_here = why_here(job)
        waits = replica.state == ReplicaState.CRASHED and job and job.state == JobState.PENDING
        if waits and job.run_after > at:
            replica.next_try = job.run_after
        died = replica.restarts or replica.state == ReplicaState.CRASHED
        replica.deaths = _deaths(replica) if died else []


def _deaths(replica: Replica) -> list[Any]:
    if replica.job is None:
        return []
    ended = replica.job.attempts.filter(ended_at__isnull=False).exclude(tail="")
    return list(ended.exclude(reason_code="").order_by("-epoch")[:5])
