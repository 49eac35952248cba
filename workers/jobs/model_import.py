"""Brings a model version in from outside. Everything is scanned before it comes to be."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from models_app.core.blobs import blob_path, tree_materialise, tree_put
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.sealing import unseal
from models_app.jobs.kind import JobContext, JobFailed, JobKind, JobStopped, Params, job_kinds
from models_app.jobs.states import TERMINAL
from models_app.registry.importing import check_hub, import_folder
from models_app.registry.models import ImportToken, ModelVersion
from models_app.registry.run_record import run_recorded
from models_app.registry.services.importing import (
    SEAL,
    version_import_complete,
    version_import_fail,
)
from models_app.registry.services.scans import scan_record
from models_app.registry.states import VersionState
from workers.importing.errors import ImportRefused, SourceAway, SourceLies
from workers.importing.intake import Intake, Stopped, TooLarge
from workers.scanning.limits import MIB, Limits
from workers.scanning.names import Gate
from workers.scanning.report import Report
from workers.scanning.scan import scan_folder
from workers.scanning.stored import base_from, base_inputs

#: Versions of the team whose files need not be transferred again.
KNOWN_VERSIONS = 300
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
            source = _source(version, folder)
        except FieldError as error:
            raise JobFailed(
                error.errors[error.field][0], reason="config_invalid", field=error.field
            ) from error
        return {
            "source": source,
            "limits": limits.to_dict(),
            "leave_out": version.source.get("leave_out", []),
            "base": base_inputs(version.base_version, folder / "base"),
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
        folder, facts = ctx.output_dir / "model", {}
        ctx.log(f"{len(intake.files)} files, {intake.received:,} bytes transferred.")
        if not report.blocked:
            strip = intake.common_folder()
            intake.lay_out(folder, strip)
            base = base_from(inputs["base"])
            facts = scan_folder(folder, report, base=base, progress=_Said(ctx).scan)
            files = {
                name.removeprefix(strip): {"sha256": whole.sha256, "size": whole.size,
                                           **({"etag": whole.etag} if whole.etag else {})}
                for name, whole in intake.files.items()
            }  # fmt: skip
        said = report.summary() if report.blocked else ""
        _say_findings(report, ctx)
        return {
            "report": report.to_dict(),
            "blocked": said,
            "facts": facts,
            "files": {} if report.blocked else files,
            "origin": origin,
            "transferred_bytes": intake.received,
        }

    def store(
        self, params: ModelImportParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        if result["blocked"]:
            scan_record(version_id=params.model_version, job=job, report=result["report"])
            raise JobFailed(result["blocked"], reason="config_invalid")
        manifest = tree_put(output_dir / "model")
        scanned = {name: entry["sha256"] for name, entry in result["files"].items()}
        if {name: entry["sha256"] for name, entry in manifest.items()} != scanned:
            raise JobFailed("The files changed after they were scanned.", reason="integrity")
        version = ModelVersion.objects.select_related("produced_by").get(pk=params.model_version)
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


def _source(version: ModelVersion, folder: Path) -> dict[str, Any]:
    """The source with what only the worker may know: places on disk, the token."""
    source = version.source
    if source["kind"] == "path":
        found = import_folder(source["path"], source.get("revision", ""))
        return {
            "kind": "path",
            "root": str(found.root),
            "blobs": str(found.blobs) if found.blobs else "",
            "commit": found.commit,
        }
    if source["kind"] == "push":
        pushed = tree_materialise(source["manifest"], folder / "pushed")
        return {"kind": "path", "root": str(pushed), "blobs": "", "commit": ""}
    if source["kind"] == "upload":
        archive = source["files"][0]
        tree_materialise({"archive": archive}, folder)
        return {"kind": "upload", "archive": str(folder / "archive"), "stamp": archive["sha256"]}
    row = ImportToken.objects.filter(version=version).first()
    return {
        "kind": "hub",
        "url": check_hub(source["url"]),
        "repo": source["repo"],
        "revision": source["revision"],
        "token": unseal(row.sealed, SEAL) if row else "",
        "allowed": list(settings.IMPORT_HUBS),
        "known": _known(version),
    }


def _known(version: ModelVersion) -> dict[str, Any]:
    """Files of the team's own versions; those of others are transferred, for who asks for a digest
    need not have a right to the file."""
    sizes: dict[str, int] = {}
    etags: dict[str, Any] = {}
    rows = ModelVersion.objects.filter(model__team=version.model.team, state=VersionState.READY)
    for manifest, source in rows.values_list("manifest", "source")[:KNOWN_VERSIONS]:
        sizes |= {entry["sha256"]: entry["size"] for entry in manifest.values()}
        if source.get("url") == version.source["url"]:
            etags |= {
                entry["etag"]: {"sha256": entry["sha256"], "size": entry["size"]}
                for entry in source.get("files", {}).values()
                if "etag" in entry
            }
    return {"sha256": sizes, "etags": etags}


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


def _take_upload(intake: Intake, source: dict[str, Any]) -> dict[str, Any]:
    from workers.importing.archive import take_archive

    take_archive(intake, Path(source["archive"]), source["stamp"])
    return {}


def _take_hub(intake: Intake, source: dict[str, Any]) -> dict[str, Any]:
    from workers.importing.addresses import Web
    from workers.importing.hub import Hub, Known, take_hub

    web = Web(source["url"], source["token"], tuple(source["allowed"]))
    hub = Hub(web, source["repo"], source["revision"])
    take_hub(intake, hub, Known(**source["known"], place=_stored))
    return {"commit": hub.commit}


def _stored(sha256: str) -> Path | None:
    path = blob_path(sha256)
    return path if path.exists() else None


TAKE: dict[str, Callable[[Intake, dict[str, Any]], dict[str, Any]]] = {
    "path": _take_path, "upload": _take_upload, "hub": _take_hub,
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
