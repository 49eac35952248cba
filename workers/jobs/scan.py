"""Looks into the files of a version that exists, by the rules of today."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core.blobs import tree_materialise
from models_app.core.errors import FieldError
from models_app.jobs.kind import JobContext, JobKind, Params, job_kinds
from models_app.registry.models import ModelVersion
from models_app.registry.services.scans import scan_record
from models_app.registry.states import VersionState
from workers.scanning.limits import MIB, Limits
from workers.scanning.names import Gate
from workers.scanning.report import Report
from workers.scanning.scan import scan_folder
from workers.scanning.stored import base_from, base_inputs


class ScanParams(Params):
    """The version to look into."""

    model_version: int


@job_kinds.register
class Scan(JobKind):
    """Changes nothing about the version; what it finds is kept beside it."""

    name = "scan"
    label = "Scan a model version"
    Params = ScanParams

    def check(self, params: ScanParams, *, actor: Any, team: Any) -> None:
        version = ModelVersion.objects.filter(pk=params.model_version, model__team=team).first()
        if version is None:
            raise FieldError("model_version", _("Choose a model version of the same team."))
        if version.state not in (VersionState.READY, VersionState.QUARANTINED):
            said = _("%(version)s has no files yet.") % {"version": version}
            raise FieldError("model_version", said)

    def title(self, params: ScanParams) -> str:
        version = ModelVersion.objects.select_related("model").get(pk=params.model_version)
        return f"Scan {version}"

    def load(self, params: ScanParams, job: Any, folder: Path) -> dict[str, Any]:
        version = ModelVersion.objects.select_related("base_version").get(pk=params.model_version)
        tree_materialise(version.manifest, folder / "model")
        limits = Limits(
            files=settings.IMPORT_MODEL_FILES, total_bytes=settings.IMPORT_MODEL_MIB * MIB
        )
        return {
            "folder": str(folder / "model"),
            "names": sorted(version.manifest),
            "limits": limits.to_dict(),
            "base": base_inputs(version.base_version, folder / "base"),
        }

    def run(self, params: ScanParams, inputs: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
        report = Report()
        gate = Gate(report, Limits(**inputs["limits"]))
        for name in inputs["names"]:
            gate.admit(name)
        scan_folder(
            Path(inputs["folder"]),
            report,
            base=base_from(inputs["base"]),
            progress=lambda done, total: ctx.progress(step=done, total=total, stage="scanning"),
        )
        ctx.log(f"Verdict of the scan: {report.verdict}.")
        return {"report": report.to_dict()}

    def apply(self, params: ScanParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        scan = scan_record(version_id=params.model_version, job=job, report=result["report"])
        return {
            "scan": scan.pk, "verdict": scan.verdict, "found": result["report"]["counts"],
        }  # fmt: skip
