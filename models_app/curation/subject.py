"""Waivers of the data policy as a subject of approvals."""

from django.utils.translation import gettext as _

from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import approval_execute
from models_app.approvals.subject import Change, Description, Link, Subject, subjects
from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.core.states import advance
from models_app.curation.standing import SUBJECT
from models_app.datasets.models import VersionQuality
from models_app.datasets.policy import MEASURES
from models_app.datasets.states import QUALITY_ALLOWED, QualityState
from models_app.events.publish import publish_on_commit


@subjects.register
class WaiverSubject(Subject):
    """One blocked version: its report and the policy that it breaks, together."""

    name = SUBJECT

    def lock(self, subject_id: int) -> None:
        VersionQuality.objects.select_for_update().filter(pk=subject_id).first()

    def current_digest(self, subject_id: int) -> str:
        return VersionQuality.objects.values_list("basis", flat=True).get(pk=subject_id)

    def on_approved(self, request: ApprovalRequest) -> None:
        """The waiver holds from now on until report or policy change, so it is done at once."""
        quality = _quality(request.subject_id)
        if quality.state != QualityState.BLOCKED:
            return
        advance(quality, QualityState.WAIVED, allowed=QUALITY_ALLOWED, changed_at=now())
        version = quality.version
        changes = {"basis": quality.basis, "request": request.pk}
        audit_record(actor=SYSTEM, action="dataset_version.waived", obj=version, changes=changes)
        publish_on_commit(
            "dataset.changed",
            {"id": version.dataset_id, "version": version.pk, "quality": str(quality.state)},
            f"dataset.{version.dataset_id}",
            f"team.{version.team_id}",
        )
        approval_execute(request=request)

    def describe(self, request: ApprovalRequest) -> Description:
        quality = _quality(request.subject_id)
        version, dataset = quality.version, quality.version.dataset
        address = (dataset.team.slug, dataset.name, version.number)
        changes = [
            Change(
                name=str(MEASURES[breach["measure"]]),
                old=_("at most %(most)s %%") % {"most": f"{breach['max_percent']:g}"},
                new=_("%(percent)s %% (%(count)s of %(of)s)") % {
                    "percent": f"{breach['percent']:.3g}", "count": f"{breach['count']:,}",
                    "of": f"{breach['of']:,}",
                },
            )
            for breach in quality.breaches
            if breach["action"] == "block"
        ]  # fmt: skip
        return Description(
            links=[Link(label=str(version), url_name="dataset_version_quality", args=address)],
            old_label=_("The policy allows"),
            new_label=_("The version has"),
            changes=changes,
            way_back=_("A new report or a new policy ends the waiver. What was trained stays."),
            on_approve=_("Models may be trained on this version."),
            on_reject=_("The version stays blocked."),
        )


def _quality(pk: int) -> VersionQuality:
    rows = VersionQuality.objects.select_related("version__dataset__team", "report", "policy")
    return rows.get(pk=pk)
