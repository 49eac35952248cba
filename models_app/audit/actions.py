"""What every recorded action is called in front of people; the recorded name never changes."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

LABELS: dict[str, str | Promise] = {
    # Access
    "user.created": _("Person added"),
    "user.updated": _("Person changed"),
    "user.deactivated": _("Person deactivated"),
    "user.activated": _("Person activated"),
    "user.password_changed": _("Password changed"),
    "user.password_reset": _("Password reset"),
    "user.signed_in": _("Signed in"),
    "user.signed_out_everywhere": _("Signed out everywhere"),
    "team.created": _("Team created"),
    "team.renamed": _("Team renamed"),
    "membership.added": _("Member added"),
    "membership.changed": _("Role of a member changed"),
    "membership.removed": _("Member removed"),
    "token.created": _("API token created"),
    "token.rotated": _("API token renewed"),
    "token.revoked": _("API token revoked"),
    "join_token.created": _("Join token created"),
    "join_token.revoked": _("Join token revoked"),
    # Jobs
    "job.submitted": _("Job submitted"),
    "job.priority_changed": _("Priority of a job changed"),
    "job.cancel_requested": _("Cancellation of a job requested"),
    "job.recovering": _("Job queued again"),
    "job.succeeded": _("Job succeeded"),
    "job.failed": _("Job failed"),
    "job.timed_out": _("Job timed out"),
    "job.canceled": _("Job cancelled"),
    "job.paused": _("Job paused"),
    "job.resumed": _("Job resumed"),
    "job.released": _("Held job let go"),
    "job.yielded": _("Job gave its place back"),
    "job.preempted": _("Job asked to give way"),
    "job.drained": _("Job asked to leave its node"),
    # Nodes and pools
    "node.joined": _("Node joined"),
    "node.returned": _("Node returned"),
    "node.unreachable": _("Node fell silent"),
    "node.quarantined": _("Node quarantined"),
    "node.cordoned": _("Node cordoned"),
    "node.uncordoned": _("Node takes jobs again"),
    "node.draining": _("Draining of a node begun"),
    "node.drain_changed": _("Deadline of a drain changed"),
    "node.drained": _("Node emptied"),
    "node.jobs_released": _("Held jobs of a node let go"),
    "node.removed": _("Node removed"),
    "node.labelled": _("Labels of a node changed"),
    "pool.created": _("Pool created"),
    "pool.changed": _("Pool changed"),
    "pool.deleted": _("Pool deleted"),
    # Data, settings, models
    "dataset.created": _("Dataset created"),
    "dataset.described": _("Description of a dataset changed"),
    "dataset_version.created": _("Dataset version created"),
    "dataset_version.ready": _("Dataset version ready"),
    "dataset_version.failed": _("Dataset version failed"),
    "config.revised": _("Configuration revised"),
    "model.created": _("Model created"),
    "model.described": _("Description of a model changed"),
    "model_version.training_started": _("Training started"),
    "model_version.conversion_started": _("Conversion started"),
    "conversion.refused": _("Conversion kept back by its gate"),
    "model_version.ready": _("Model version ready"),
    "model_version.failed": _("Model version failed"),
    "model_version.noted": _("Notes of a model version changed"),
    "model_version.quarantined": _("Model version quarantined"),
    "model_version.restored": _("Model version restored"),
    "evaluation.completed": _("Evaluation completed"),
    # Approvals
    "approval.requested": _("Approval requested"),
    "approval.voted": _("Vote cast"),
    "approval.approved": _("Approval given"),
    "approval.rejected": _("Approval refused"),
    "approval.withdrawn": _("Request for approval withdrawn"),
    "approval.expired": _("Approval expired"),
    "approval.stale": _("Approval void after a change"),
    "approval.executed": _("Approved change carried out"),
    "environment.policy_changed": _("Approval policy changed"),
    # Deployments
    "deployment.created": _("Deployment created"),
    "deployment.changed": _("Description of a deployment changed"),
    "deployment.stopped": _("Deployment stopped"),
    "deployment.started": _("Deployment started"),
    "deployment.rollback_requested": _("Roll-back requested"),
    "revision.created": _("Revision created"),
    "revision.activated": _("Revision put into service"),
    "rollout.started": _("Roll-out started"),
    "rollout.ended": _("Roll-out ended without success"),
}


def action_label(action: str) -> str:
    """The words for an action in the language of the reader; its name where there are none."""
    return str(LABELS.get(action, action))


def actions_called(words: str) -> list[str]:
    """The names of the actions whose label contains `words`, in the language of the reader."""
    wanted = words.casefold()
    return [name for name, label in LABELS.items() if wanted in str(label).casefold()]
