"""Versions are moved from stage to stage, at once or after the approvals that policy wants.

Order of locks: the version, then the request that decides its move.
"""

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_title, one_of
from models_app.core.permission import require
from models_app.core.states import advance, state_word
from models_app.registry.models import ModelVersion
from models_app.registry.services.models import announce
from models_app.registry.stages import StageMove, stage_gates
from models_app.registry.states import MOVES, STAGES, MoveState, Stage, VersionState
from models_app.registry.use import version_uses


@transaction.atomic
def version_stage_move(*, actor: Actor, version: ModelVersion, to: str, reason: str) -> StageMove:
    """Move a version to another stage. Where policy wants approvals the move comes back `waiting`,
    and is done by the last vote.

    Raises WrongState where the table of stages, the state of the version or what serves it
    forbids the move, Conflict while another move waits.
    """
    require(actor, "registry.move_stage", version)
    reason = clean_title(reason, "reason")
    if to not in Stage.values:
        raise FieldError("to", one_of(Stage.values))
    version = stage_locked(version.pk)
    _check(version, to)
    if version.stage_moves.filter(state=MoveState.WAITING).exists():
        raise Conflict(_("A move of %(version)s waits for approval.") % {"version": version})
    move = StageMove.objects.create(
        version=version, old=version.stage, new=to, reason=reason, moved_by_id=actor.pk
    )
    for gate in stage_gates:
        move.approval = move.approval or gate.ask(actor=actor, move=move)
    if move.approval is None:
        stage_apply(actor=actor, move=move)
        return move
    move.save(update_fields=["approval"])
    changes = {"from": move.old, "to": to, "reason": reason, "approval": move.approval}
    audit_record(actor=actor, action="model_version.stage_requested", obj=version, changes=changes)
    announce(version.model)
    return move


@transaction.atomic
def stage_move_withdraw(*, actor: Actor, move: StageMove) -> StageMove:
    """Take back a move that waits; its request for approval is withdrawn with it."""
    require(actor, "registry.move_stage", move.version)
    version = stage_locked(move.version_id)
    move = StageMove.objects.select_related("version__model").get(pk=move.pk)
    move.version = version
    stage_move_end(actor=actor, move=move, why="It was taken back.")
    for gate in stage_gates:
        gate.drop(actor=actor, move=move)
    return move


def stage_locked(version_id: int) -> ModelVersion:
    """The version, whose stage nobody else changes until the transaction ends."""
    rows = ModelVersion.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("model__team").get(pk=version_id)


def why_not_stage(version: ModelVersion, to: str) -> str:
    """One sentence that says why a version cannot go to a stage now; empty if it can."""
    if to not in STAGES[Stage(version.stage)]:
        said = _("%(version)s cannot go from “%(old)s” to “%(new)s”.")
        words = {"version": version, "old": version.get_stage_display(), "new": Stage(to).label}
        return said % words
    if to != Stage.ARCHIVED and version.state != VersionState.READY:
        said = _("%(version)s is not ready: %(state)s.")
        return said % {"version": version, "state": state_word(version, version.state)}
    uses = version_uses(version) if version.stage == Stage.PRODUCTION else []
    if uses:
        said = _("%(version)s is in use: %(uses)s. Let another version serve first.")
        return said % {"version": version, "uses": ", ".join(str(use) for use in uses)}
    return ""


def _check(version: ModelVersion, to: str) -> None:
    refusal = why_not_stage(version, to)
    if refusal:
        raise WrongState(refusal, stage=version.stage, wanted=to)


def stage_apply(*, actor: Actor, move: StageMove) -> None:
    """Do the move; called under the lock of the version, once nobody has to agree any more."""
    version = move.version
    _check(version, move.new)
    advance(move, MoveState.DONE, allowed=MOVES, ended_at=Now())
    version.stage = move.new
    version.save(update_fields=["stage"])
    changes = {
        "stage": {"from": move.old, "to": move.new},
        "reason": move.reason,
        "digest": version.digest,
        **({"approval": move.approval} if move.approval else {}),
    }
    audit_record(actor=actor, action="model_version.stage_moved", obj=version, changes=changes)
    announce(version.model)


def stage_move_end(*, actor: Actor, move: StageMove, why: str) -> None:
    """The move does not take place; called under the lock of the version."""
    advance(move, MoveState.ENDED, allowed=MOVES, ended_at=Now(), error=why)
    changes = {"to": move.new, "why": why}
    audit_record(
        actor=actor, action="model_version.stage_refused", obj=move.version, changes=changes
    )
    announce(move.version.model)
