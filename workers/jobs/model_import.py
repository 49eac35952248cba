"""Brings a model version in from outside. Everything is scanned before it comes to be."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from models_app.core.blobs import tree_put
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.jobs.kind import JobContext, JobFailed, JobKind, JobStopped, Params, job_kinds
from models_app.jobs.states import TERMINAL
from models_app.registry.bundles.manifest import Manifest
from models_app.registry.models import ModelVersion
from models_app.registry.run_record import run_recorded
from models_app.registry.services.bundles import base_stored
from models_app.registry.services.importing import version_import_complete, version_import_fail
from models_app.registry.services.scans import scan_record
from models_app.registry.states import VersionState
from workers.importing.errors import ImportRefused, SourceAway, SourceLies
from workers.importing.intake import Intake, Stopped, TooLarge
from workers.importing.looking import Look
from workers.importing.sources import bundle_manifest, source_inputs, stored_place
from workers.scanning.limits import MIB, Limits
from workers.scanning.names import Gate
from workers.scanning.report import Report
from workers.scanning.stored import base_inputs

SAY_EVERY_S = 0.2


class ModelImportParams(Params):
    """The version to fill. Where from stands with the version, secrets nowhere else."""

    model_version: int


@job_kinds.register
class ModelImport(JobKind):
    """Takes files in, scans them, and publishes the whole version or nothing."""

    name = "model_import"
    on_console_disk = True  # the import directory lies there, and the key of sealed tokens
    label = "Import a model version"
    Params = ModelImportParams
    submittable = False  # it belongs to the version that it fills

    def check(self, params: ModelImportParams, *, actor: Any, team: Any) -> None:
        version = ModelVersion.objects.filter(
            pk=params.model_version, model__team=team, state=VersionState.PENDING
        ).first()
        if version is None:
            raise FieldError("model_version", "There is no such version waiting for its import.")

    def title(self, params: ModelImportParams) -> str:
        return f"Import model version {params.model_version}"

    def load(self, params: ModelImportParams, job: Any, folder: Path) -> dict[str, Any]:
        version = ModelVersion.objects.select_related("model", "base_version__model").get(
            pk=params.model_version
        )
        limits = Limits(
            files=settings.IMPORT_MODEL_FILES,
            total_bytes=settings.IMPORT_MODEL_MIB * MIB,
            ratio=settings.IMPORT_RATIO,
            connections=settings.IMPORT_CONNECTIONS,
        )
        try:
            source = source_inputs(version, folder)
        except FieldError as error:
            raise JobFailed(
                error.errors[error.field][0], reason="config_invalid", field=error.field
            ) from error
        base = version.base_version or _base_named(version, bundle_manifest(source))
        return {
            "source": source,
            "limits": limits.to_dict(),
            "leave_out": version.source.get("leave_out", []),
            "base": base_inputs(base, folder / "base"),
            "base_digest": base.digest if base else "",
        }

    def run(
        self, params: ModelImportParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        limits, report = Limits(**inputs["limits"]), Report()
        gate = Gate(report, limits, tuple(inputs["leave_out"]))
        intake = Intake(
            ctx.work_dir / "import", gate, stopping=ctx.should_stop, progress=_Said(ctx).transfer
        )
        origin = _transfer(intake, inputs["source"], ctx)
        listing = origin.pop("listing", None)
        ctx.log(f"{len(intake.files)} files, {intake.received:,} bytes transferred.")
        seen: dict[str, Any] = {"facts": {}, "files": {}}
        if not report.blocked:
            look = Look(intake, inputs, ctx.output_dir, _Said(ctx).scan)
            seen = look.bundle(listing) if listing else look.plain()
        said = report.summary() if report.blocked else ""
        _say_findings(report, ctx)
        return {
            "report": report.to_dict(),
            "blocked": said,
            "facts": seen["facts"],
            "files": {} if report.blocked else seen["files"],
            "bundle": seen.get("bundle"),
            "origin": origin,
            "transferred_bytes": intake.received,
        }

    def store(
        self, params: ModelImportParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        if result["blocked"]:
            scan_record(version_id=params.model_version, job=job, report=result["report"])
            raise JobFailed(result["blocked"], reason="config_invalid")
        bundle = result.get("bundle")
        if bundle and bundle["base"]:
            base = {**bundle["base"], "manifest": _put(output_dir / "base", bundle["base"])}
            result = {**result, "bundle": {**bundle, "base": base}}
        version = ModelVersion.objects.select_related("produced_by").get(pk=params.model_version)
        manifest = _put(output_dir / "model", result)
        return {**result, "manifest": manifest, **run_recorded(version)}

    def apply(self, params: ModelImportParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        try:
            version = version_import_complete(
                version_id=params.model_version, job=job, result=result
            )
        except (Conflict, WrongState) as error:
            raise JobFailed(error.message, reason="config_invalid") from error
        return {
            "model_version": version.pk,
            "digest": version.digest,
            "verdict": result["report"]["verdict"],
            "transferred_bytes": result["transferred_bytes"],
            "same_as": version.source["same_as"],
        }

    def ended(self, params: ModelImportParams, job: Any) -> None:
        # A lost attempt is followed by another one; only the end of the job is a failure.
        if job.state in TERMINAL:
            version_import_fail(version_id=params.model_version, job=job)


def _base_named(version: ModelVersion, manifest: Manifest | None) -> ModelVersion | None:
    """The team's version that the bundle of an adapter names as its base, by its files."""
    if manifest is None or manifest.base is None:
        return None
    return base_stored(team_id=version.team_id, digest=manifest.base.version.digest)


def _put(folder: Path, seen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Store what was looked at, and nothing else."""
    manifest = tree_put(folder)
    scanned = {name: entry["sha256"] for name, entry in seen["files"].items()}
    if {name: entry["sha256"] for name, entry in manifest.items()} != scanned:
        raise JobFailed("The files changed after they were scanned.", reason="integrity")
    return manifest


def _transfer(intake: Intake, source: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
    """Let the files come; returns what is known about their origin, or ends the job."""
    try:
        return TAKE[source["kind"]](intake, source)
    except TooLarge:
        most = f"{intake.limits.total_bytes:,}"
        intake.report.add("files.large", "", f"All files together may have {most} bytes.")
        return {}
    except ImportRefused as error:
        raise JobFailed(error.message, reason="config_invalid", field=error.field) from error
    except SourceLies as error:
        raise JobFailed(str(error), reason="integrity") from error
    except SourceAway as error:
        raise JobFailed(str(error), reason="source_away", permanent=False) from error
    except Stopped as error:
        raise JobStopped("What has come so far is kept.") from error


def _take_path(intake: Intake, source: dict[str, Any]) -> dict[str, Any]:
    from workers.importing.folder import take_folder

    blobs = Path(source["blobs"]) if source["blobs"] else None
    take_folder(intake, Path(source["root"]), blobs=blobs)
    return {"commit": source["commit"], "cache": True} if blobs else {}


def _take_archive(intake: Intake, source: dict[str, Any]) -> dict[str, Any]:
    from workers.importing.archive import take_archive
    from workers.importing.bundle import Stored

    stored = Stored(sizes=source["known"], place=stored_place)
    listing = take_archive(intake, Path(source["archive"]), source["stamp"], stored)
    return {"listing": listing, "bundle": listing.named()} if listing else {}


def _take_hub(intake: Intake, source: dict[str, Any]) -> dict[str, Any]:
    from workers.importing.addresses import Web
    from workers.importing.hub import Hub, Known, take_hub

    web = Web(source["url"], source["token"], tuple(source["allowed"]))
    hub = Hub(web, source["repo"], source["revision"])
    take_hub(intake, hub, Known(**source["known"], place=stored_place))
    return {"commit": hub.commit}


TAKE: dict[str, Callable[[Intake, dict[str, Any]], dict[str, Any]]] = {
    "path": _take_path, "archive": _take_archive, "hub": _take_hub,
}  # fmt: skip


class _Said:
    """Progress, a few times a second."""

    def __init__(self, ctx: JobContext) -> None:
        self.ctx, self._at = ctx, 0.0

    def _due(self) -> bool:
        if time.monotonic() - self._at < SAY_EVERY_S:
            return False
        self._at = time.monotonic()
        return True

    def transfer(self, done: int, total: int | None) -> None:
        if self._due():
            known = total if total and total >= done else None
            self.ctx.progress(step=done, total=known, stage="transferring")

    def scan(self, done: int, total: int) -> None:
        if done == total or self._due():
            self.ctx.progress(step=done, total=total, stage="scanning")


def _say_findings(report: Report, ctx: JobContext) -> None:
    for finding in report.to_dict()["findings"][:50]:
        level = {"blocked": "error", "warning": "warning"}.get(finding["severity"], "info")
        where = f"{finding['file']}: " if finding["file"] else ""
        ctx.log(f"{where}{finding['title']}. {finding['what']}", level=level)
    ctx.log(f"Verdict of the scan: {report.verdict}.")
