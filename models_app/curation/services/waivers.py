"""A version that the policy blocks is let through when others agree to exactly that."""

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import approval_request
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, WrongState
from models_app.core.permission import require
from models_app.curation.standing import SUBJECT, waiver_environment
from models_app.datasets.models import DatasetVersion, VersionQuality
from models_app.datasets.states import QualityState


@transaction.atomic
def waiver_request(*, actor: Actor, version: DatasetVersion, reason: str) -> ApprovalRequest:
    """Ask others to let a blocked version through as its report and the policy stand now.

    Raises WrongState unless it is blocked, FieldError without a reason, Conflict for a second one.
    """
    require(actor, "datasets.waive_quality", version)
    rows = VersionQuality.objects.select_for_update(of=("self",)).select_related("version__dataset")
    quality = rows.filter(version=version).first()
    if quality is None or quality.state != QualityState.BLOCKED:
        raise WrongState(_("Only a version that the data policy blocks needs a waiver."))
    if not reason.strip():
        said = _("Say why the data may be used all the same; approvers read it.")
        raise FieldError("reason", said)
    environment = waiver_environment()
    if environment is None:
        raise WrongState(_("There is no environment whose approvers could decide."))
    return approval_request(
        actor=actor,
        team=version.dataset.team,
        environment=environment,
        subject_type=SUBJECT,
        subject_id=quality.pk,
        title=f"Waive the data policy for {version}",
        reason=reason,
    )
