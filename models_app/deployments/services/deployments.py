"""Deployments themselves: create, describe, stop, start."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.approvals.models import Environment
from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import WrongState
from models_app.core.names import clean_slug, clean_text
from models_app.core.permission import require
from models_app.deployments.models import Deployment
from models_app.deployments.names import name_free, name_lock
from models_app.deployments.services.locking import announce, locked, reconcile_soon
from models_app.deployments.services.rollouts import begin_rollout, leave_rollout, rolling_out
from models_app.deployments.services.standing import ask_again, lacks_approval, why_unfit
from models_app.deployments.states import RevisionState


@transaction.atomic
def deployment_create(
    *, actor: Actor, team: Any, name: str, environment: Environment, description: str = ""
) -> Deployment:
    """A name that clients can ask. It serves once a revision of it is active."""
    require(actor, "deployments.add_deployment", team)
    name = clean_slug(name)
    name_lock(team.pk, name)
    name_free(team.pk, name)
    deployment = Deployment.objects.create(
        team=team,
        created_by_id=actor.pk,
        name=name,
        environment=environment,
        description=clean_text(description, "description"),
    )
    audit_record(
        actor=actor,
        action="deployment.created",
        obj=deployment,
        changes={"environment": environment.name},
    )
    announce(deployment)
    return deployment


@transaction.atomic
def deployment_change(*, actor: Actor, deployment: Deployment, description: str) -> Deployment:
    """Change the description. Name and environment are part of what was approved: they stay."""
    require(actor, "deployments.change_deployment", deployment)
    row = locked(deployment)
    text = clean_text(description, "description")
    if text != row.description:
        Deployment.objects.filter(pk=row.pk).update(description=text)
        audit_record(
            actor=actor, action="deployment.changed", obj=row, changes={"description": text}
        )
        row.description = text
        announce(row)
    return row


@transaction.atomic
def deployment_stop(*, actor: Actor, deployment: Deployment, reason: str = "") -> Deployment:
    """Take it out of service at once: nothing is routed any more, replicas finish and stop."""
    require(actor, "deployments.change_deployment", deployment)
    row = locked(deployment)
    if row.stopped_at:
        raise WrongState(_("%(name)s is stopped already.") % {"name": row.name})
    current = rolling_out(row)
    if current is not None:
        leave_rollout(row, current, RevisionState.WITHDRAWN, "The deployment was stopped.", actor)
    row.stopped_at = now()
    Deployment.objects.filter(pk=row.pk).update(stopped_at=row.stopped_at)
    text = clean_text(reason, "reason", limit=2000)
    audit_record(actor=actor, action="deployment.stopped", obj=row, changes={"reason": text})
    announce(row, routes=True)
    reconcile_soon()
    return row


@transaction.atomic
def deployment_start(*, actor: Actor, deployment: Deployment) -> Deployment:
    """Serve the active revision again.

    Where its approval does not stand any more (the policy has changed), a new one is asked for
    and the deployment stays stopped until it is given. Where it may never run again (its version
    is quarantined), the newest approved revision is rolled out in its place.
    """
    require(actor, "deployments.roll_out_deployment", deployment)
    row = locked(deployment)
    if not row.stopped_at:
        raise WrongState(_("%(name)s is not stopped.") % {"name": row.name})
    active = row.active_revision
    if active is not None:
        active.deployment = row
        unfit = why_unfit(active)
        if unfit:
            _start_anew(row, actor, unfit)
            return row
        if lacks_approval(active):
            ask_again(actor, active, f"Start {row.name} again with r{active.number}")
            return row
    start_now(row, actor)
    return row


def _start_anew(row: Deployment, actor: Actor, unfit: str) -> None:
    fresh = row.revisions.filter(state=RevisionState.APPROVED).first()
    if fresh is None:
        raise WrongState(_("%(why)s Create a new revision first.") % {"why": unfit})
    fresh.deployment = row
    start_now(row, actor)
    begin_rollout(row, fresh, actor)


def start_now(row: Deployment, actor: Actor) -> None:
    """Under the deployment's lock: clear the stop."""
    row.stopped_at = None
    Deployment.objects.filter(pk=row.pk).update(stopped_at=None)
    audit_record(actor=actor, action="deployment.started", obj=row)
    announce(row, routes=True)
    reconcile_soon()
