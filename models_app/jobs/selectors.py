"""Reads jobs, filtered by what the actor may see."""

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from models_app.core.actor import Actor
from models_app.jobs.models import Job
from models_app.jobs.states import HELD, OPEN, JobState
from models_app.pools.selectors import queues_served


def job_get(*, actor: Actor, job_id: int) -> Job:
    """One job, or NotFound."""
    return Job.objects.select_related("team", "created_by", "rerun_of").get_visible(
        actor, pk=job_id
    )


def job_list(
    *, actor: Actor, state: str = "", kind: str = "", team: str = "", query: str = ""
) -> QuerySet[Job]:
    """Newest first. `state` may also be `open` (not over) or `active` (held by a worker)."""
    rows = Job.objects.visible_to(actor).select_related("team", "created_by")
    if state == "open":
        rows = rows.filter(state__in=sorted(OPEN))
    elif state == "active":
        rows = rows.filter(state__in=sorted(HELD))
    elif state:
        rows = rows.filter(state=state)
    if kind:
        rows = rows.filter(kind=kind)
    if team:
        rows = rows.filter(team__slug=team)
    if query:
        match = Q(title__icontains=query)
        rows = rows.filter(
            match | Q(pk=int(query)) if query.isdecimal() and len(query) < 18 else match
        )
    return rows.order_by("-id")


def jobs_in_flight(*, actor: Actor) -> int:
    """How many jobs are not over, replicas apart."""
    return (
        Job.objects.visible_to(actor).filter(state__in=sorted(OPEN)).exclude(kind="serve").count()
    )


def why_waiting(*, job: Job) -> str:
    """One sentence that says why a queued job does not run yet; empty if it does."""
    if job.state != JobState.PENDING:
        return ""
    if job.queue not in queues_served():
        return f"No ready worker serves the queue “{job.queue}”. Start one, or wait for it."
    if Job.objects.filter(pk=job.pk, run_after__gt=Now()).exists():
        return f"It is tried again at {job.run_after:%H:%M:%S} UTC, after the last attempt failed."
    ahead = Job.objects.filter(
        Q(priority__gt=job.priority) | Q(priority=job.priority, pk__lt=job.pk),
        state=JobState.PENDING,
        queue=job.queue,
        run_after__lte=Now(),
    ).count()
    if ahead:
        return f"{ahead} jobs of the same queue are before it."
    return "It is next; a worker takes it as soon as a slot is free."


def queue_depth() -> dict[str, int]:
    """How many jobs wait in each queue."""
    rows = Job.objects.filter(state=JobState.PENDING).values("queue").annotate(depth=Count("pk"))
    return {row["queue"]: row["depth"] for row in rows.order_by("queue")}
