"""Where a version came from, whole: every part with its digest and the address where it is read.

`items` are the parts as bytes that can be fetched and hashed (see evidence.py); the rest says the
same in words. Two digests sum it up: `digest` binds everything, `recipe_digest` only what decides
how the training comes out, so that two versions of one recipe share it.
"""

from typing import Any

from django.urls import NoReverseMatch, reverse

from models_app.configs.models import ConfigRevision
from models_app.core.digests import digest_json
from models_app.datasets.models import DatasetVersion
from models_app.jobs.models import Job, JobAttempt
from models_app.registry.evidence import RECIPE, Item, version_evidence
from models_app.registry.models import Conversion, ModelVersion
from models_app.registry.run_record import run_facts, run_of

Json = dict[str, Any]


def version_provenance(version: ModelVersion) -> Json:
    """Model, data, settings, code, environment, seed, figures, log, base version, job, attempts."""
    job = version.produced_by
    items = version_evidence(version)
    return {
        **provenance_digests(version, items),
        "model_version": {
            "id": version.pk,
            "url": url("api_model_version", version.pk),
            "model": version.model.name,
            "team": version.model.team.slug,
            "number": version.number,
            "state": version.state,
            "digest": version.digest,
            "manifest": version.manifest,
            "size_bytes": version.size_bytes,
            "created_at": version.created_at,
            "ready_at": version.ready_at,
        },
        "facts": version.facts,
        "metrics": version.metrics,
        "seed": version.seed,
        "code_version": version.code_version,
        "environment": version.environment,
        "dataset": _dataset(version.dataset_version) if version.dataset_version else None,
        "config": _config(version.config_revision) if version.config_revision else None,
        "base_version": _base(version.base_version) if version.base_version else None,
        "begun_with": _base(version.begun_with) if version.begun_with else None,
        "continued_from": _continued(version.continued_from),
        "source": version.source or None,
        "origin": _origin(version),
        "items": [item.to_dict(version) for item in items],
        "scan": _scan(version),
        "format": version.format,
        "source_version": _base(version.source_version) if version.source_version else None,
        "conversion": _conversion(version),
        "job": _job(job) if job else None,
        "run": _run(version),
        "filled_by": _job(version.filled_by) if version.filled_by else None,
        "log": {
            "sha256": version.log_digest,
            "lines": job.log_seq if job else 0,
            "url": url("api_job_log", job.pk) if job else None,
        },
        "evaluations": [
            {"id": row.pk, "url": url("api_evaluation", row.pk), "metrics": row.metrics}
            for row in version.evaluations.all()
        ],
        "derived": [
            {"id": pk, "url": url("api_model_version", pk)}
            for pk in version.derived.order_by("pk").values_list("pk", flat=True)
        ],
    }


def provenance_digests(version: ModelVersion, items: list[Item] | None = None) -> Json:
    """The digest of the whole, and that of the recipe; over canonical JSON."""
    found = version_evidence(version) if items is None else items
    digests = {item.name: item.digest for item in found}
    job = version.produced_by
    recipe = {name: digests[name] for name in RECIPE if name in digests}
    whole = {
        "model": [version.model.team.slug, version.model.name, version.number],
        "items": digests,
        "seed": version.seed,
        "code_version": version.code_version,
        "source": version.source or None,
        "job": _who_and_when(job) if job else None,
    }
    if version.filled_by is not None:
        # Nobody here knows all that decided how it came out, so there is no recipe.
        whole, recipe = {**whole, "filled_by": _who_and_when(version.filled_by)}, {}
    return {
        "digest": digest_json(whole),
        "recipe_digest": digest_json({"seed": version.seed, **recipe}) if recipe else None,
    }


def _who_and_when(job: Job) -> Json:
    attempts = job.attempts.order_by("epoch")
    return {
        "id": job.pk,
        "by": job.created_by_id,
        "at": job.created_at.isoformat(),
        "attempts": [[row.epoch, row.node_name, digest_json(row.environment)] for row in attempts],
    }


def _continued(begun: Json) -> Json | None:
    if not begun:
        return None
    return {
        "job": begun["job"],
        "job_url": url("api_job_detail", begun["job"]),
        "step": begun["step"],
        "digest": begun["digest"],
    }


def _dataset(version: DatasetVersion) -> Json:
    return {
        "id": version.pk,
        "url": url("api_dataset_version", version.pk),
        "name": version.dataset.name,
        "number": version.number,
        "digest": version.digest,
        "manifest": version.manifest,
        "source": version.source,
        "counts": version.counts,
        "seed": version.seed,
        "job": version.produced_by_id,
        "job_url": url("api_job_detail", version.produced_by_id),
    }


def _config(revision: ConfigRevision) -> Json:
    return {
        "id": revision.pk,
        "url": url("api_config_revision", revision.pk),
        "name": revision.config.name,
        "number": revision.number,
        "digest": revision.digest,
        "spec": revision.spec,
        "reason": revision.reason,
    }


def _base(version: ModelVersion) -> Json:
    return {
        "id": version.pk,
        "url": url("api_model_version", version.pk),
        "provenance_url": url("api_model_version_provenance", version.pk),
        "name": str(version),
        "digest": version.digest,
    }


def _run(version: ModelVersion) -> Json | None:
    """What the run elsewhere has logged; as it was when the files came, it is the item `run`."""
    run = run_of(version)
    return {**run_facts(run), "url": url("api_training_run", run.pk)} if run else None


def _origin(version: ModelVersion) -> Json | None:
    """What the bundle claims in which it came; nothing of it is known here."""
    origin = getattr(version, "origin", None)
    return origin.to_dict() if origin else None


def _scan(version: ModelVersion) -> Json | None:
    scan = version.scans.first()
    if scan is None:
        return None
    return {
        "url": url("api_model_version_scan", version.pk),
        "verdict": scan.verdict,
        "ruleset": scan.ruleset,
        "scanner": scan.scanner,
        "at": scan.created_at,
        "counts": scan.report.get("counts", {}),
        "job_url": url("api_job_detail", scan.produced_by_id),
    }


def _conversion(version: ModelVersion) -> Json | None:
    row = Conversion.objects.filter(output=version).first()
    if row is None:
        return None
    return {
        "id": row.pk,
        "url": url("api_conversion", row.pk),
        "format": row.format,
        "precision": row.precision,
        "source_digest": row.source_digest,
        "gate": row.gate,
        "passed": row.passed,
    }


def _job(job: Job) -> Json:
    attempts = JobAttempt.objects.filter(job=job).order_by("epoch")
    return {
        "id": job.pk,
        "url": url("api_job_detail", job.pk),
        "params": job.params,
        "params_digest": job.params_digest,
        "state": job.state,
        "submitted_by": job.created_by.email if job.created_by else None,
        "submitted_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "attempts": [
            {
                "epoch": attempt.epoch,
                "node": attempt.node_name,
                "started_at": attempt.started_at,
                "ended_at": attempt.ended_at,
                "reason": attempt.reason,
                "environment_digest": digest_json(attempt.environment),
            }
            for attempt in attempts
        ],
    }


def url(name: str, key: Any) -> str | None:
    """An address of the API; None while that part of it does not exist."""
    try:
        return reverse(name, args=[key]) if key is not None else None
    except NoReverseMatch:
        return None
