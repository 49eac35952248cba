"""Roll-outs and roll-backs: how a revision comes to serve, and how it stops trying.

`active_revision` is written here and nowhere else, in `rollout_activate`.
"""

import datetime as dt
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.approvals.services import approval_drop, approval_execute
from models_app.approvals.states import RequestState
from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.clock import now
from models_app.core.errors import WrongState
from models_app.core.names import clean_text
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.services.course import (
    ENDS,
    live_rollout,
    rollout_close,
    rollout_note,
    rollout_open,
)
from models_app.deployments.services.locking import announce, golden_soon, locked, reconcile_soon
from models_app.deployments.services.scaling import scale_adopt
from models_app.deployments.services.standing import (
    SUBJECT,
    ask_again,
    lacks_approval,
    why_not_run,
    why_unfit,
)
from models_app.deployments.states import (
    ALLOWED,
    Golden,
    ReplicaState,
    RevisionState,
    RolloutState,
)
from models_app.deployments.wanted import wanted_replicas

FORMER = (RevisionState.SUPERSEDED, RevisionState.ROLLED_BACK)


def rolling_out(deployment: Deployment) -> Revision | None:
    """The revision that is on its way in, if any."""
    row: Revision | None = deployment.revisions.filter(state=RevisionState.ROLLING_OUT).first()
    if row is not None:
        row.deployment = deployment
    return row


@transaction.atomic
def rollout_start(*, actor: Actor, revision: Revision) -> Revision:
    """Start the replicas of an approved revision, or try a failed one again."""
    require(actor, "deployments.roll_out_deployment", revision)
    deployment, row = _locked(revision)
    if row.state not in (RevisionState.APPROVED, RevisionState.FAILED):
        said = _("r%(n)s is %(state)s: it cannot be rolled out.")
        raise WrongState(said % {"n": row.number, "state": row.get_state_display()})
    begin_rollout(deployment, row, actor)
    return row


@transaction.atomic
def rollout_abort(*, actor: Actor, revision: Revision, reason: str = "") -> Revision:
    """Stop a roll-out that has not finished. What serves now goes on serving."""
    require(actor, "deployments.roll_out_deployment", revision)
    deployment, row = _locked(revision)
    if row.state != RevisionState.ROLLING_OUT:
        said = _("r%(n)s is %(state)s, not being rolled out.")
        raise WrongState(said % {"n": row.number, "state": row.get_state_display()})
    text = clean_text(reason, "reason", limit=2000)
    leave_rollout(
        deployment, row, RevisionState.WITHDRAWN, text or f"Aborted by {actor.label}.", actor
    )
    reconcile_soon()
    return row


@transaction.atomic
def roll_back(
    *, actor: Actor, deployment: Deployment, to: Revision | None = None, reason: str = ""
) -> Revision:
    """Go back to an earlier revision: at once while it is warm, else when its replicas are ready.

    Where its approval does not stand any more, a new one is asked for and nothing moves yet: the
    returned revision then has an open `approval`.
    """
    require(actor, "deployments.roll_back_deployment", deployment)
    row = locked(deployment)
    target = _target(row, to)
    text = clean_text(reason, "reason", limit=2000)
    unfit = why_unfit(target)
    if unfit:
        raise WrongState(_("%(why)s Choose another revision.") % {"why": unfit})
    _check_not_stopped(row)
    audit_record(
        actor=actor,
        action="deployment.rollback_requested",
        obj=row,
        changes={"to": target.number, "reason": text},
    )
    if lacks_approval(target):
        ask_again(actor, target, f"Roll {row.name} back to r{target.number}", text)
        announce(row)
        return target
    begin_rollout(row, target, actor)
    return target


def begin_rollout(
    deployment: Deployment, revision: Revision, actor: Actor, *, automatic: str = ""
) -> None:
    """Under the deployment's lock. A roll-out that is under way is replaced by this one.

    `automatic` says why the console goes back by itself.
    """
    _check_not_stopped(deployment)
    refusal = why_not_run(revision)
    if refusal:
        raise WrongState(refusal)
    current = rolling_out(deployment)
    if current is not None and current.pk != revision.pk:
        text = f"Replaced by r{revision.number} before it was ready."
        leave_rollout(deployment, current, RevisionState.WITHDRAWN, text, actor)
    advance(
        revision,
        RevisionState.ROLLING_OUT,
        allowed=ALLOWED,
        rollout_started_at=now(),
        error="",
        keep_until=None,
    )
    audit_record(actor=actor, action="rollout.started", obj=revision)
    row = rollout_open(deployment, revision, actor, automatic=automatic)
    warm = warm_replicas(revision) >= wanted_replicas(deployment, revision)
    if warm and len(row.plan) == 1 and row.golden == Golden.NONE:
        rollout_activate(deployment, revision)
    else:
        announce(deployment)
        reconcile_soon()
        if row.golden == Golden.DUE and warm:
            golden_soon()


def rollout_activate(deployment: Deployment, revision: Revision) -> bool:
    """Under the deployment's lock: switch the traffic. The only writer of `active_revision`.

    What changed since the approval makes the revision stale instead: it never gets a request.
    """
    revision.deployment = deployment
    refusal = why_not_run(revision)
    if refusal:
        leave_rollout(deployment, revision, RevisionState.STALE, refusal, SYSTEM)
        return False
    previous = deployment.active_revision
    if previous is not None:
        back = revision.number < previous.number
        keep = dt.timedelta(seconds=previous.spec_in_effect.get("keep_warm_s", 0))
        advance(
            previous,
            RevisionState.ROLLED_BACK if back else RevisionState.SUPERSEDED,
            allowed=ALLOWED,
            keep_until=now() + keep,
        )
    advance(revision, RevisionState.ACTIVE, allowed=ALLOWED, activated_at=now(), keep_until=None)
    Deployment.objects.filter(pk=deployment.pk).update(active_revision=revision)
    deployment.active_revision = revision
    scale_adopt(deployment, revision)
    rollout_close(deployment, RolloutState.SUCCEEDED, revision=revision.number)
    if revision.approval is not None:
        revision.approval.refresh_from_db()
        if revision.approval.state == RequestState.APPROVED:
            approval_execute(request=revision.approval)
    _drop_older_proposals(deployment, revision)
    audit_record(
        actor=SYSTEM,
        action="revision.activated",
        obj=revision,
        changes={"digest": revision.digest, "before": previous.number if previous else None},
    )
    announce(deployment, routes=True)
    reconcile_soon()
    return True


def rollout_fail(deployment: Deployment, revision: Revision, error: str) -> None:
    """Under the deployment's lock: the new revision does not come up. The old one keeps serving."""
    leave_rollout(deployment, revision, RevisionState.FAILED, error, SYSTEM)


def rollout_turn_back(
    deployment: Deployment, revision: Revision, why: str, evidence: dict[str, Any]
) -> None:
    """Under the deployment's lock: its figures are too bad. Traffic leaves it at once."""
    row = live_rollout(deployment)
    if row is not None:
        rollout_note(row, "bad_figures", why=why, **evidence)
    audit_record(
        actor=SYSTEM,
        action="rollout.rolled_back",
        obj=revision,
        changes={"why": why, **evidence},
    )
    leave_rollout(
        deployment, revision, RevisionState.FAILED, why, SYSTEM, end=RolloutState.ROLLED_BACK
    )
    reconcile_soon()


def leave_rollout(
    deployment: Deployment,
    revision: Revision,
    state: str,
    error: str,
    actor: Actor,
    end: RolloutState | None = None,
) -> None:
    """A roll-out ends without success. A revision that has served before stays a way back."""
    rollout_close(deployment, end or ENDS[RevisionState(state)], error, by=actor.label)
    if revision.activated_at is not None:
        active = deployment.active_revision
        newer = active is not None and revision.number > active.number
        state = RevisionState.ROLLED_BACK if newer else RevisionState.SUPERSEDED
    elif state == RevisionState.WITHDRAWN:
        approval_drop(
            actor=actor,
            subject_type=SUBJECT,
            subject_id=revision.pk,
            state=RequestState.WITHDRAWN,
        )
    elif state == RevisionState.STALE:
        approval_drop(actor=actor, subject_type=SUBJECT, subject_id=revision.pk)
    advance(revision, state, allowed=ALLOWED, error=error)
    audit_record(
        actor=actor, action="rollout.ended", obj=revision, changes={"state": state, "error": error}
    )
    announce(deployment, routes=True)


def warm_replicas(revision: Revision) -> int:
    """How many replicas of it would answer right now."""
    return Replica.objects.filter(revision=revision, state=ReplicaState.READY).count()


def back_targets(deployment: Deployment) -> list[Revision]:
    """Revisions that have served and could again, the most natural one first."""
    rows = deployment.revisions.filter(state__in=FORMER, activated_at__isnull=False)
    rows = rows.select_related("model_version__model", "config_revision__config", "approval")
    newest_first = list(rows.order_by("-activated_at"))
    return sorted(newest_first, key=lambda row: row.state == RevisionState.ROLLED_BACK)


def _target(deployment: Deployment, to: Revision | None) -> Revision:
    if to is None:
        targets = back_targets(deployment)
        if not targets:
            raise WrongState(_("There is no earlier revision to roll back to."))
        target = targets[0]
    else:
        row = deployment.revisions.filter(pk=to.pk).first()
        if row is None or row.state not in FORMER or row.activated_at is None:
            said = _(
                "r%(n)s is %(state)s: only a revision that has served before can be rolled back to."
            )
            raise WrongState(said % {"n": to.number, "state": to.get_state_display()})
        target = row
    target.deployment = deployment
    return target


def _check_not_stopped(deployment: Deployment) -> None:
    if deployment.stopped_at:
        said = _("%(name)s is stopped. Start it first.") % {"name": deployment.name}
        raise WrongState(said)


def _drop_older_proposals(deployment: Deployment, active: Revision) -> None:
    """What was proposed before this one compares itself with something that is gone."""
    older = deployment.revisions.filter(
        state__in=(RevisionState.PENDING_APPROVAL, RevisionState.APPROVED),
        number__lt=active.number,
    )
    for row in older:
        row.deployment = deployment
        approval_drop(actor=SYSTEM, subject_type=SUBJECT, subject_id=row.pk)
        text = f"r{active.number} was put into service meanwhile."
        advance(row, RevisionState.STALE, allowed=ALLOWED, error=text)


def _locked(revision: Revision) -> tuple[Deployment, Revision]:
    deployment = locked(revision.deployment)
    row = deployment.revisions.get(pk=revision.pk)
    row.deployment = deployment
    return deployment, row
