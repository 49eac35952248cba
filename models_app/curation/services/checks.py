"""Reports are stored, and versions judged by them and by the policy in force."""

from typing import Any

from django.db import transaction

from models_app.approvals.services import approval_drop
from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.clock import now
from models_app.core.digests import digest_json
from models_app.core.states import advance
from models_app.curation.standing import SUBJECT
from models_app.datasets.models import DatasetVersion, QualityReport, VersionQuality
from models_app.datasets.policy import judge
from models_app.datasets.quality import policy_current, policy_spec
from models_app.datasets.states import QUALITY_ALLOWED, QualityState
from models_app.events.publish import publish_on_commit
from models_app.jobs.models import Job


@transaction.atomic
def quality_check_complete(
    *, version_id: int, job: Job | None, report: dict[str, Any], files: dict[str, Any]
) -> VersionQuality:
    """A check has ended well: its report is the version's newest one, and judged."""
    version = DatasetVersion.objects.select_related("dataset").get(pk=version_id)
    quality = _locked(version)
    stored = QualityReport.objects.create(
        version=version, report=report, digest=digest_json(report), files=files, produced_by=job
    )
    changes = {"report": stored.digest, "job": job.pk if job else None}
    audit_record(actor=SYSTEM, action="dataset_version.checked", obj=version, changes=changes)
    return quality_judge(actor=SYSTEM, quality=quality, report=stored)


@transaction.atomic
def quality_judge(
    *, actor: Actor, quality: VersionQuality, report: QualityReport | None = None
) -> VersionQuality:
    """Judge a version by its report (a new one, or the one that it has) and the policy in force.

    Called under the lock of the quality's row. What was judged on the same basis stays as it is; a
    waiver, or a request for one, ends with its basis.
    """
    version = quality.version
    report = report or quality.report
    if report is None:
        return quality
    policy, spec = policy_current(version.team_id), policy_spec(version.team_id)
    breaches = [breach.to_dict() for breach in judge(report.report, spec)]
    basis = digest_json({"report": report.digest, "policy": digest_json(spec.plain())})
    blocked = any(breach["action"] == "block" for breach in breaches)
    found: dict[str, Any] = {"report": report, "policy": policy}
    if basis == quality.basis:
        _update(quality, found)
        _announce(version, quality)
        return quality
    before = str(quality.state)
    after = QualityState.BLOCKED if blocked else QualityState.PASSED
    found |= {"basis": basis, "breaches": breaches, "changed_at": now()}
    if before == after:
        _update(quality, found)
    else:
        advance(quality, after, allowed=QUALITY_ALLOWED, **found)
    approval_drop(actor=actor, subject_type=SUBJECT, subject_id=quality.pk)
    changes = {"from": before, "to": str(quality.state), "basis": basis}
    audit_record(actor=actor, action="dataset_version.judged", obj=version, changes=changes)
    _announce(version, quality)
    return quality


def _update(quality: VersionQuality, found: dict[str, Any]) -> None:
    """What is found anew, while the state stays; the row is locked."""
    for name, value in found.items():
        setattr(quality, name, value)
    quality.save(update_fields=list(found))


def _locked(version: DatasetVersion) -> VersionQuality:
    VersionQuality.objects.get_or_create(version=version)
    rows = VersionQuality.objects.select_for_update(of=("self",))
    return rows.select_related("version__dataset", "report", "policy").get(version=version)


def _announce(version: DatasetVersion, quality: VersionQuality) -> None:
    publish_on_commit(
        "dataset.changed",
        {"id": version.dataset_id, "version": version.pk, "quality": str(quality.state)},
        f"dataset.{version.dataset_id}",
        f"team.{version.team_id}",
    )
