"""Reads deployments, revisions and replicas, filtered by what the actor may see; and the routes."""

from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import NotFound
from models_app.deployments.models import (
    Deployment,
    GoldenAnswer,
    Replica,
    RequestRecord,
    Revision,
    Rollout,
)
from models_app.deployments.states import ReplicaState, RevisionState

RELATED = (
    "team",
    "environment",
    "created_by",
    "active_revision__model_version__model",
    "active_revision__config_revision__config",
)


def deployment_list(
    *, actor: Actor, team: str = "", environment: str = "", name: str = "", query: str = ""
) -> QuerySet[Deployment]:
    """By name, with what `deployment_status` needs."""
    rows = _annotated(Deployment.objects.visible_to(actor))
    if team:
        rows = rows.filter(team__slug=team)
    if environment:
        rows = rows.filter(environment__name=environment)
    if name:
        rows = rows.filter(name=name)
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(description__icontains=query))
    return rows.order_by("team__slug", "name")


def deployment_get(*, actor: Actor, deployment_id: int) -> Deployment:
    """One deployment, or NotFound."""
    found = _annotated(Deployment.objects.visible_to(actor)).filter(pk=deployment_id).first()
    if found is None:
        raise NotFound(_("There is no such deployment."))
    return found


def deployment_by_name(*, actor: Actor, team: str, name: str) -> Deployment:
    """One deployment by its public name, or NotFound."""
    rows = _annotated(Deployment.objects.visible_to(actor))
    found = rows.filter(team__slug=team, name=name).first()
    if found is None:
        raise NotFound(_("There is no such deployment."))
    return found


def _annotated(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    revisions = Revision.objects.filter(deployment=OuterRef("pk"))
    ready = Count(
        "active_revision__replica_set",
        filter=Q(active_revision__replica_set__state=ReplicaState.READY),
    )
    return rows.select_related(*RELATED).annotate(
        ready_replicas=ready,
        rolling_number=Subquery(
            revisions.filter(state=RevisionState.ROLLING_OUT).values("number")[:1]
        ),
        waits_for_approval=Exists(revisions.filter(state=RevisionState.PENDING_APPROVAL)),
    )


def deployment_status(deployment: Deployment) -> str:
    """creating, pending_approval, in_service, updating, rolling_back, degraded, asleep or
    out_of_service.

    `deployment` comes from one of the selectors here.
    """
    facts: Any = deployment
    if deployment.stopped_at:
        return "out_of_service"
    active = deployment.active_revision
    if active is None:
        if facts.rolling_number is not None:
            return "creating"
        return "pending_approval" if facts.waits_for_approval else "out_of_service"
    if facts.rolling_number is not None:
        return "rolling_back" if facts.rolling_number < active.number else "updating"
    if facts.ready_replicas == 0:
        return "asleep" if deployment.scaled_to == 0 else "out_of_service"
    wanted = active.replicas if deployment.scaled_to is None else deployment.scaled_to
    return "in_service" if facts.ready_replicas >= wanted else "degraded"


def revision_list(*, actor: Actor, deployment: Deployment | None = None) -> QuerySet[Revision]:
    """Newest first."""
    rows = (
        Revision.objects.visible_to(actor)
        .select_related(
            "deployment__team",
            "deployment__environment",
            "model_version__model",
            "config_revision__config",
            "overlay_revision",
            "approval",
            "created_by",
        )
        .prefetch_related("adapters__model_version__model__team")
    )
    if deployment is not None:
        rows = rows.filter(deployment=deployment)
    return rows.order_by("-id")


def revisions_with_golden(revisions: list[Revision]) -> set[int]:
    """Which of them have stored answers, by primary key."""
    rows = GoldenAnswer.objects.filter(revision__in=revisions)
    return set(rows.values_list("revision_id", flat=True))


def revision_get(*, actor: Actor, revision_id: int) -> Revision:
    """One revision, or NotFound."""
    return revision_list(actor=actor).get_visible(actor, pk=revision_id)  # type: ignore[attr-defined, no-any-return]


def revision_by_number(*, actor: Actor, deployment: Deployment, number: int) -> Revision:
    """One revision of a deployment, or NotFound."""
    found = revision_list(actor=actor, deployment=deployment).filter(number=number).first()
    if found is None:
        raise NotFound(_("There is no such revision."))
    return found


def revision_before(revision: Revision) -> Revision | None:
    """The one with the next lower number, to compare with."""
    rows = Revision.objects.filter(deployment_id=revision.deployment_id, number__lt=revision.number)
    related = rows.select_related(
        "model_version__model", "config_revision__config", "overlay_revision"
    )
    return related.order_by("-number").first()


def rollout_list(*, actor: Actor, deployment: Deployment) -> QuerySet[Rollout]:
    """Newest first, with their events."""
    rows = Rollout.objects.visible_to(actor).filter(deployment=deployment)
    related = rows.select_related("revision", "previous", "started_by", "deployment")
    return related.prefetch_related("events").order_by("-id")


def replica_list(
    *, actor: Actor, deployment: Deployment, stopped: bool = False
) -> QuerySet[Replica]:
    """Replicas that live; with `stopped` those of the past too."""
    rows = Replica.objects.visible_to(actor).filter(revision__deployment=deployment)
    if not stopped:
        rows = rows.exclude(state=ReplicaState.STOPPED)
    return rows.select_related("revision__deployment", "job").order_by("-id")


def request_list(*, actor: Actor, deployment: Deployment) -> QuerySet[RequestRecord]:
    """Calls of a deployment, newest first. Their texts are not kept."""
    if not Deployment.objects.visible_to(actor).filter(pk=deployment.pk).exists():
        raise NotFound(_("There is no such deployment."))
    rows = RequestRecord.objects.filter(deployment=deployment)
    return rows.select_related("user", "revision", "replica__job").order_by("-id")
