"""What people do with a roll-out under way: pause, resume, let the next step begin, let through."""

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import FieldError, NotFound, WrongState
from models_app.core.names import clean_text
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.deployments.models import Deployment, Replica, Rollout
from models_app.deployments.services.course import (
    current_step,
    is_last,
    live_rollout,
    rollout_change,
    rollout_note,
    step_on,
)
from models_app.deployments.services.locking import announce, locked, reconcile_soon
from models_app.deployments.services.rollouts import FORMER, begin_rollout
from models_app.deployments.states import (
    GOLDEN_PASSED,
    ROLLOUT_ALLOWED,
    Golden,
    ReplicaState,
    RevisionState,
    RolloutState,
)
from models_app.deployments.wanted import wanted_replicas

PERM = "deployments.roll_out_deployment"


@transaction.atomic
def rollout_pause(*, actor: Actor, deployment: Deployment, reason: str = "") -> Rollout:
    """It stays where it is: shares and replicas as they are. Bad figures still end it."""
    row, text = _under_way(actor, deployment, reason)
    if row.state == RolloutState.PAUSED:
        raise WrongState(_("The roll-out is paused already."))
    advance(row, RolloutState.PAUSED, allowed=ROLLOUT_ALLOWED)
    changes = {"reason": text, "step": row.step + 1}
    audit_record(actor=actor, action="rollout.paused", obj=row.revision, changes=changes)
    _tell(actor, row, "paused", text)
    return row


@transaction.atomic
def rollout_resume(*, actor: Actor, deployment: Deployment, reason: str = "") -> Rollout:
    """It goes on with the step at which it was paused."""
    row, text = _under_way(actor, deployment, reason)
    if row.state != RolloutState.PAUSED:
        raise WrongState(_("The roll-out is not paused."))
    fresh = {} if row.watched_since else {"step_started_at": now()}
    advance(row, RolloutState.RUNNING, allowed=ROLLOUT_ALLOWED, **fresh)
    changes = {"reason": text, "step": row.step + 1}
    audit_record(actor=actor, action="rollout.resumed", obj=row.revision, changes=changes)
    _tell(actor, row, "resumed", text)
    return row


@transaction.atomic
def rollout_promote(*, actor: Actor, deployment: Deployment, reason: str = "") -> Rollout:
    """The next step begins now, whether this one has been watched long enough or not."""
    row, text = _under_way(actor, deployment, reason)
    if is_last(row):
        said = _("This is the last step: it ends by itself when all replicas are ready.")
        raise WrongState(said)
    if row.state == RolloutState.PAUSED:
        raise WrongState(_("The roll-out is paused. Resume it first."))
    _check_ready(row)
    changes = {"reason": text, "step": row.step + 1}
    audit_record(actor=actor, action="rollout.promoted", obj=row.revision, changes=changes)
    _tell(actor, row, "promoted", text, step=row.step + 1)
    step_on(row)
    return row


def _check_ready(row: Rollout) -> None:
    step = current_step(row)
    wanted = wanted_replicas(row.deployment, row.revision)
    goal = wanted if step.new is None else min(step.new, wanted)
    ready = Replica.objects.filter(revision=row.revision, state=ReplicaState.READY).count()
    if ready < goal or row.golden not in GOLDEN_PASSED:
        said = _("%(ready)s of %(goal)s replicas of this step are ready. Promote it after that.")
        raise WrongState(said % {"ready": ready, "goal": goal})


@transaction.atomic
def golden_force(*, actor: Actor, deployment: Deployment, to: int, reason: str) -> Rollout:
    """Break the glass: go back to revision `to` though its answers differ from the stored ones."""
    require(actor, PERM, deployment)
    row = locked(deployment)
    text = clean_text(reason, "reason", limit=2000)
    if not text:
        raise FieldError("reason", _("Say why the different answers may be let through."))
    revision = row.revisions.filter(number=to).first()
    if revision is None:
        raise NotFound(_("There is no such revision."))
    last = Rollout.objects.filter(revision=revision).first()
    if last is None or last.golden != Golden.DIFFERENT:
        said = _("Nothing was refused: the stored answers of r%(n)s were not found different.")
        raise WrongState(said % {"n": to})
    revision.deployment = row
    under_way = live_rollout(row)
    if under_way is None or under_way.pk != last.pk:
        if revision.state not in FORMER:
            raise WrongState(_("r%(n)s serves already.") % {"n": to})
        begin_rollout(row, revision, actor)
        under_way = live_rollout(row)
    if under_way is None:  # it had no stored answers any more, and has switched at once
        return last
    rollout_change(under_way, golden=Golden.FORCED)
    audit_record(actor=actor, action="golden.forced", obj=revision, changes={"reason": text})
    rollout_note(under_way, "forced", by=actor.label, reason=text, revision=to)
    announce(row)
    reconcile_soon()
    return under_way


def _under_way(actor: Actor, deployment: Deployment, reason: str) -> tuple[Rollout, str]:
    require(actor, PERM, deployment)
    text = clean_text(reason, "reason", limit=2000)
    row = live_rollout(locked(deployment))
    if row is None or row.revision.state != RevisionState.ROLLING_OUT:
        raise WrongState(_("Nothing is being rolled out."))
    row.revision.deployment = row.deployment
    return row, text


def _tell(actor: Actor, row: Rollout, what: str, reason: str, **data: int) -> None:
    rollout_note(row, what, by=actor.label, reason=reason, **data)
    announce(row.deployment)
    reconcile_soon()
