"""Whether a revision may run: is it what was approved, and does the approval still stand?

The check is part of every transition towards traffic, computed inside the same transaction.
"""

from django.utils.translation import gettext as _

from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import approval_request, approval_stands
from models_app.core.actor import Actor
from models_app.deployments.adapters import adapters_of
from models_app.deployments.digest import revision_digest
from models_app.deployments.models import Revision
from models_app.registry.states import VersionState
from models_app.registry.use import version_hold

SUBJECT = "revision"


def why_unfit(revision: Revision) -> str:
    """Why this revision may never run again as it is; empty if it may."""
    version = revision.model_version
    version_hold(version)
    if version.state != VersionState.READY:
        said = _("The model version %(version)s is %(state)s.")
        return said % {"version": version, "state": version.get_state_display()}
    for name, adapter in adapters_of(revision).items():
        version_hold(adapter)
        if adapter.state != VersionState.READY:
            said = _("Its adapter %(name)s, %(version)s, is %(state)s.")
            words = {"name": name, "version": adapter, "state": adapter.get_state_display()}
            return said % words
    if revision_digest(revision) != revision.digest:
        return _("r%(n)s is no longer what it was when it was made.") % {"n": revision.number}
    return ""


def lacks_approval(revision: Revision) -> bool:
    """Whether its environment demands an approval that is not there, or stands no more."""
    if not revision.deployment.environment.protected:
        return False
    approval = revision.approval
    if approval is not None:
        # Read afresh: the row may be older than a change of the policy.
        approval = ApprovalRequest.objects.select_related("environment").get(pk=approval.pk)
    return not approval_stands(approval, digest=revision.digest)


def why_not_run(revision: Revision) -> str:
    """One sentence, or empty if the revision may take traffic now."""
    unfit = why_unfit(revision)
    if unfit:
        return unfit
    if lacks_approval(revision):
        said = _("r%(n)s has no approval that stands under today's policy.")
        return said % {"n": revision.number}
    return ""


def ask_again(actor: Actor, revision: Revision, title: str, reason: str = "") -> ApprovalRequest:
    """Put a revision before the approvers, under the policy of now."""
    deployment = revision.deployment
    request = approval_request(
        actor=actor,
        team=deployment.team,
        environment=deployment.environment,
        subject_type=SUBJECT,
        subject_id=revision.pk,
        title=title,
        reason=reason,
    )
    revision.approval = request
    Revision.objects.filter(pk=revision.pk).update(approval=request)
    return request
