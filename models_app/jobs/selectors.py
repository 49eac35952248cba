"""Reads jobs, filtered by what the actor may see."""

from django.db.models import Count, Q, QuerySet

from models_app.core.actor import Actor
from models_app.jobs.models import Checkpoint, Job
from models_app.jobs.states import HELD, OPEN, JobState


def job_get(*, actor: Actor, job_id: int) -> Job:
    """One job, or NotFound."""
    return Job.objects.select_related("team", "created_by", "rerun_of", "pool").get_visible(
        actor, pk=job_id
    )


def job_alone(*, actor: Actor, job_id: int) -> Job:
    """As much of a job as its programs and charts need, which ask all the time; or NotFound."""
    names = ("kind", "worker", "epoch", "state", "lease_until")
    return Job.objects.get_columns(actor, job_id, *names)


def job_list(
    *,
    actor: Actor,
    state: str = "",
    kind: str = "",
    team: str = "",
    pool: str = "",
    query: str = "",
) -> QuerySet[Job]:
    """Newest first. `state` may also be `open` (not over) or `active` (held by a worker)."""
    rows = Job.objects.visible_to(actor).select_related("team", "created_by", "pool")
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
    if pool:
        rows = rows.filter(pool__name=pool)
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


def pool_depth() -> dict[str, int]:
    """How many jobs wait in each pool."""
    rows = (
        Job.objects.filter(state=JobState.PENDING).values("pool__name").annotate(depth=Count("pk"))
    )
    return {row["pool__name"]: row["depth"] for row in rows.order_by("pool__name")}


def checkpoint_get(*, actor: Actor, checkpoint_id: int) -> Checkpoint:
    """One checkpoint, or NotFound."""
    return Checkpoint.objects.select_related("job__team").get_visible(actor, pk=checkpoint_id)
