"""Revisions as a subject of approvals."""

from models_app.approvals.models import ApprovalRequest
from models_app.approvals.states import RequestState
from models_app.approvals.subject import Description, Subject, subjects
from models_app.core.actor import SYSTEM
from models_app.core.states import advance
from models_app.deployments.comparison import describe_revision
from models_app.deployments.digest import revision_digest
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.services.deployments import start_now
from models_app.deployments.services.locking import announce
from models_app.deployments.services.rollouts import FORMER, begin_rollout, leave_rollout
from models_app.deployments.services.standing import SUBJECT
from models_app.deployments.states import ALLOWED, RevisionState

#: How the end of a request moves a revision that waited for it.
ENDS = {
    RequestState.REJECTED: RevisionState.REJECTED,
    RequestState.WITHDRAWN: RevisionState.WITHDRAWN,
    RequestState.EXPIRED: RevisionState.STALE,
    RequestState.STALE: RevisionState.STALE,
}
WHY = {
    RequestState.REJECTED: "The approval was refused.",
    RequestState.WITHDRAWN: "The request for approval was withdrawn.",
    RequestState.EXPIRED: "The approval was not given, or not used, in time.",
    RequestState.STALE: "What was asked for, or the policy of the environment, has changed.",
}


@subjects.register
class RevisionSubject(Subject):
    """One revision: version, configuration, deployment, environment and replicas together."""

    name = SUBJECT

    def lock(self, subject_id: int) -> None:
        deployments = Deployment.objects.select_for_update(no_key=True)
        deployments.filter(revisions=subject_id).first()

    def current_digest(self, subject_id: int) -> str:
        return revision_digest(_revision(subject_id))

    def on_approved(self, request: ApprovalRequest) -> None:
        revision = _revision(request.subject_id)
        deployment = revision.deployment
        if revision.state == RevisionState.PENDING_APPROVAL:
            advance(revision, RevisionState.APPROVED, allowed=ALLOWED)
            if not deployment.stopped_at:
                begin_rollout(deployment, revision, SYSTEM)
        elif revision.state in FORMER and not deployment.stopped_at:
            begin_rollout(deployment, revision, SYSTEM)
        elif revision.state == RevisionState.ACTIVE and deployment.stopped_at:
            start_now(deployment, SYSTEM)
        announce(deployment)

    def on_ended(self, request: ApprovalRequest) -> None:
        revision = _revision(request.subject_id)
        if revision.approval_id != request.pk:
            return
        state, why = ENDS[RequestState(request.state)], WHY[RequestState(request.state)]
        if revision.state == RevisionState.ROLLING_OUT:
            leave_rollout(revision.deployment, revision, state, why, SYSTEM)
        elif revision.state == RevisionState.FAILED:
            advance(revision, RevisionState.STALE, allowed=ALLOWED)
        elif revision.state in (RevisionState.PENDING_APPROVAL, RevisionState.APPROVED):
            advance(revision, state, allowed=ALLOWED, error=why)
        announce(revision.deployment)

    def describe(self, request: ApprovalRequest) -> Description:
        return describe_revision(_revision(request.subject_id))


def _revision(pk: int) -> Revision:
    return Revision.objects.select_related(
        "deployment__team",
        "deployment__environment",
        "deployment__active_revision__config_revision__config",
        "deployment__active_revision__overlay_revision",
        "deployment__active_revision__model_version__model",
        "model_version__model",
        "config_revision__config",
        "overlay_revision",
        "approval",
    ).get(pk=pk)
