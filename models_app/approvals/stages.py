"""Moves of model versions to a stage as a subject of approvals.

The environment of the same name as the stage says who must agree: into `production` under the
policy of the environment production, and so on; a stage without an environment needs nobody.
Approvals stand above the registry, so the two meet here.
"""

from django.utils.translation import gettext as _

from models_app.approvals.models import ApprovalRequest, Environment
from models_app.approvals.services import approval_drop, approval_execute, approval_request
from models_app.approvals.states import RequestState
from models_app.approvals.subject import Change, Description, Evidence, Link, Subject, subjects
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import WrongState
from models_app.registry.attacks import attack_newest
from models_app.registry.models import ModelVersion
from models_app.registry.services.stages import (
    stage_apply,
    stage_locked,
    stage_move_end,
    why_not_stage,
)
from models_app.registry.stages import StageGate, StageMove, stage_gates
from models_app.registry.states import MoveState, Stage

SUBJECT = "stage_move"
#: Stored with the move, so English, as others read it too.
WHY = {
    RequestState.REJECTED: "The approval was refused.",
    RequestState.WITHDRAWN: "The request for approval was withdrawn.",
    RequestState.EXPIRED: "The approval was not given in time.",
    RequestState.STALE: "The version, its stage or the policy has changed meanwhile.",
}
#: Figures of a version that an approver weighs, and whether less is better.
FIGURES = (("validation_loss", True), ("bits_per_byte", True), ("tokens_per_second", False))


@stage_gates.register
class EnvironmentGate(StageGate):
    """Asks for the approvals that the environment of the stage's name wants."""

    name = "environment"

    def ask(self, *, actor: Actor, move: StageMove) -> int | None:
        if not self.needs(version=move.version, to=move.new):
            return None
        environment = Environment.objects.get(name=move.new)
        request = approval_request(
            actor=actor,
            team=move.version.model.team,
            environment=environment,
            subject_type=SUBJECT,
            subject_id=move.pk,
            title=f"Move {move.version} to {move.new}"[:200],
            reason=move.reason,
        )
        return request.pk

    def drop(self, *, actor: Actor, move: StageMove) -> None:
        approval_drop(
            actor=actor, subject_type=SUBJECT, subject_id=move.pk, state=RequestState.WITHDRAWN
        )

    def needs(self, *, version: ModelVersion, to: str) -> int:
        environment = Environment.objects.filter(name=to).first()
        if environment is None:
            return _must_have(to)
        return environment.required_approvals if environment.protected else 0


@subjects.register
class StageSubject(Subject):
    """One move of one version: exactly these files, from the stage where it is to another."""

    name = SUBJECT

    def lock(self, subject_id: int) -> None:
        stage_locked(StageMove.objects.values_list("version_id", flat=True).get(pk=subject_id))

    def current_digest(self, subject_id: int) -> str:
        return _move(subject_id).digest

    def on_approved(self, request: ApprovalRequest) -> None:
        move = _move(request.subject_id)
        refusal = why_not_stage(move.version, move.new)
        if refusal:
            stage_move_end(actor=SYSTEM, move=move, why=refusal[:300])
            approval_drop(actor=SYSTEM, subject_type=SUBJECT, subject_id=move.pk)
            return
        stage_apply(actor=SYSTEM, move=move)
        approval_execute(request=request)

    def on_ended(self, request: ApprovalRequest) -> None:
        move = _move(request.subject_id)
        if move.state == MoveState.WAITING:
            stage_move_end(actor=SYSTEM, move=move, why=WHY[RequestState(request.state)])

    def describe(self, request: ApprovalRequest) -> Description:
        move = _move(request.subject_id)
        version, before = move.version, _in_production(move)
        return Description(
            links=[
                Link(label=str(version), url_name="model_version", args=_address(version)),
                *(
                    [Link(label=str(before), url_name="model_version", args=_address(before))]
                    if before
                    else []
                ),
            ],
            old_label=str(before) if before else _("Now"),
            new_label=str(version),
            changes=[
                Change(name=_("Stage"), old=move.get_old_display(), new=move.get_new_display()),
                Change(name=_("Digest"), old=before.digest if before else "–", new=version.digest),
            ],
            evidence=_evidence(before, version),
            way_back=_("Move it back to staging, or archive it."),
            on_approve=_("The version is moved with the last vote that is needed."),
            on_reject=_("The version stays where it is."),
        )


def _must_have(to: str) -> int:
    if to == Stage.PRODUCTION:
        raise WrongState(_("There is no environment called %(name)s.") % {"name": to})
    return 0


def _move(pk: int) -> StageMove:
    return StageMove.objects.select_related("version__model__team").get(pk=pk)


def _address(version: ModelVersion) -> tuple[str | int, ...]:
    return (version.model.team.slug, version.model.name, version.number)


def _in_production(move: StageMove) -> ModelVersion | None:
    """What is in that stage now, to compare with."""
    rows = ModelVersion.objects.filter(model=move.version.model, stage=move.new)
    return rows.exclude(pk=move.version_id).select_related("model__team").first()


def _evidence(before: ModelVersion | None, version: ModelVersion) -> list[Evidence]:
    found = []
    for name, less in FIGURES:
        new, old = version.metrics.get(name), before.metrics.get(name) if before else None
        if new is not None:
            found.append(Evidence(name=name, old=old, new=new, lower_is_better=less))
    return [*found, *_attack_evidence(before, version)]


def _attack_evidence(before: ModelVersion | None, version: ModelVersion) -> list[Evidence]:
    """The score of the attack suite; that of another suite is not compared with it."""
    run, other = attack_newest(version), attack_newest(before) if before else None
    if run is None:
        return []
    old = other.score if other and other.suite_digest == run.suite_digest else None
    return [Evidence(name="attack_score", old=old, new=run.score, lower_is_better=False)]
