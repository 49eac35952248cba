"""Scans of versions: asked for by people, made by every import, kept with the rules they used."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import WrongState
from models_app.core.permission import require
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.registry.code_version import code_version
from models_app.registry.models import ModelVersion, VersionScan
from models_app.registry.services.models import announce
from models_app.registry.states import VersionState


@transaction.atomic
def version_scan(*, actor: Actor, version: ModelVersion, idempotency_key: str | None = None) -> Job:
    """Look into the files of a version again, by the rules of today."""
    require(actor, "registry.scan_version", version)
    if version.state not in (VersionState.READY, VersionState.QUARANTINED):
        raise WrongState(_("%(version)s has no files yet.") % {"version": version})
    return job_submit(
        actor=actor,
        team=version.model.team,
        kind="scan",
        params={"model_version": version.pk},
        title=f"Scan {version}",
        idempotency_key=idempotency_key,
    )


@transaction.atomic
def scan_record(*, version_id: int, job: Job, report: dict[str, Any]) -> VersionScan:
    """Keep what a scan found; a repeated attempt of the same job replaces it."""
    scan, _made = VersionScan.objects.update_or_create(
        produced_by=job,
        version_id=version_id,
        defaults={
            "ruleset": report["ruleset"],
            "scanner": code_version(),
            "verdict": report["verdict"],
            "report": report,
        },
    )
    version = ModelVersion.objects.select_related("model").get(pk=version_id)
    changes = {"verdict": scan.verdict, "ruleset": scan.ruleset, "found": report["counts"]}
    audit_record(
        actor=SYSTEM, action="model_version.scanned", obj=version,
        changes={**changes, "job": job.pk},
    )  # fmt: skip
    announce(version.model)
    return scan
