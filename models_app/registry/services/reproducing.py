"""Versions are rebuilt from their record alone, to prove that they can be."""

from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import WrongState
from models_app.core.permission import require
from models_app.jobs.idempotency import job_with_key
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.services import job_submit
from models_app.registry.environments import environment_diff, environment_of_nodes
from models_app.registry.models import ModelVersion, Reproduction
from models_app.registry.rebuilding import rebuilt_report
from models_app.registry.records import Verdict
from models_app.registry.services.models import announce
from models_app.registry.states import VersionState


def reproduction_plan(version: ModelVersion) -> dict[str, Any]:
    """What is known beforehand: the node that told its environment last, and what differs there."""
    told = environment_of_nodes()
    if told is None or not version.environment:
        return {"node": None, "differences": []}
    return {"node": told[0], "differences": environment_diff(version.environment, told[1])}


@transaction.atomic
def reproduction_start(
    *,
    actor: Actor,
    version: ModelVersion,
    priority: int = 0,
    idempotency_key: str | None = None,
) -> Reproduction:
    """Rebuild a version from its record, on a clean folder; makes no version.

    The same `idempotency_key` in the same team returns the reproduction that exists.
    """
    require(actor, "registry.reproduce_version", version)
    team = version.model.team
    earlier = job_with_key(team=team, key=idempotency_key, kind="reproduce")
    if earlier is not None:
        return Reproduction.objects.get(job=earlier)
    job = version.produced_by
    if job is None or version.config_revision is None or version.dataset_version is None:
        said = _("%(version)s was not trained here, so there is no record to rebuild it from.")
        raise WrongState(said % {"version": version})
    if version.state != VersionState.READY:
        raise WrongState(_("%(version)s is not ready.") % {"version": version})
    row = Reproduction.objects.create(version=version, created_by_id=actor.pk)
    row.job = job_submit(
        actor=actor,
        team=team,
        kind="reproduce",
        params={"reproduction": row.pk, "version": version.pk},
        title=f"Rebuild {version}",
        priority=priority,
        pool=job.pool.name,
        resources={"node_selector": job.node_selector},
        idempotency_key=idempotency_key,
    )
    row.save(update_fields=["job"])
    changes = {"job": row.job.pk, "digest": version.digest}
    audit_record(actor=actor, action="reproduction.started", obj=row, changes=changes)
    announce(version.model)
    return row


@transaction.atomic
def reproduction_complete(*, reproduction_id: int, job: Job, found: dict[str, Any]) -> Reproduction:
    """The rebuilding has ended: compare with the record and keep the report."""
    row = _locked(reproduction_id)
    attempt = JobAttempt.objects.filter(job=job, epoch=job.epoch).first()
    report = rebuilt_report(row.version, job, found, attempt.environment if attempt else {})
    row.verdict, row.divergence = report.pop("verdict"), report.pop("divergence")
    row.report = {**report, "node": job.node_name, "digest": row.version.digest}
    _finish(row)
    changes = {"verdict": row.verdict, "divergence": row.divergence, "job": job.pk}
    audit_record(actor=SYSTEM, action="reproduction.completed", obj=row, changes=changes)
    return row


@transaction.atomic
def reproduction_fail(*, reproduction_id: int, job: Job) -> None:
    """The rebuilding has ended otherwise than well: nothing is known of the version."""
    row = _locked(reproduction_id)
    if row.verdict != Verdict.PENDING:
        return
    row.verdict, row.divergence = Verdict.FAILED, job.reason
    _finish(row)
    changes = {"job": job.pk, "reason": job.reason_code}
    audit_record(actor=SYSTEM, action="reproduction.failed", obj=row, changes=changes)


def _locked(reproduction_id: int) -> Reproduction:
    rows = Reproduction.objects.select_for_update(of=("self",))
    return rows.select_related("version__model__team").get(pk=reproduction_id)


def _finish(row: Reproduction) -> None:
    row.finished_at = Now()
    row.save(update_fields=["verdict", "divergence", "report", "finished_at"])
    announce(row.version.model)
