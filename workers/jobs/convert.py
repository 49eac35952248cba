"""Writes a model version in another format, and measures it against its source."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from models_app.core.blobs import tree_materialise, tree_put
from models_app.core.errors import FieldError
from models_app.datasets.models import DatasetVersion
from models_app.jobs.kind import JobContext, JobFailed, JobKind, JobStopped, Params, job_kinds
from models_app.jobs.states import TERMINAL
from models_app.registry.formats import Precision, Target, register, target_get
from models_app.registry.models import Conversion, ModelVersion
from models_app.registry.recording import record_files
from models_app.registry.services.conversions import conversion_complete, conversion_fail
from models_app.registry.states import VersionState
from workers.lm.formats import FORMATS
from workers.training import MODEL, RECORD, write_record

MIB = 1 << 20
#: The interpreter, torch and one more library, before the first weight.
OVERHEAD_MIB = 1024


class ConvertParams(Params):
    """The conversion, and what its child needs to know of it."""

    conversion: int
    model_version: int
    source: int
    dataset_version: int | None = None
    format: str
    precision: str
    max_documents: int = 200
    threads: int = 1


@job_kinds.register
class Convert(JobKind):
    """Begins anew in every attempt; nothing is visible before the gate has passed."""

    name = "convert"
    label = "Convert a model version"
    Params = ConvertParams
    submittable = False  # it belongs to the version that it makes

    def check(self, params: ConvertParams, *, actor: Any, team: Any) -> None:
        waiting = Conversion.objects.filter(
            pk=params.conversion, source__model__team=team, output__state=VersionState.PENDING
        )
        if not waiting.exists():
            raise FieldError("conversion", "There is no such conversion waiting for its job.")

    def title(self, params: ConvertParams) -> str:
        return f"Convert model version {params.source} to {params.format}"

    def resources(self, params: ConvertParams) -> dict[str, Any]:
        """Source and output are held at once to be compared, and exporters hold copies."""
        source = ModelVersion.objects.select_related("base_version").get(pk=params.source)
        whole = source.base_version if target_get(params.format).takes_adapter else source
        assert whole is not None
        weights = int(whole.facts.get("parameters") or whole.size_bytes / 4)
        target = target_get(params.format)
        return {
            "memory_mib": OVERHEAD_MIB + round(weights * target.memory_per_weight) // MIB,
            "disk_mib": 64 + round(weights * 10) // MIB,
        }

    def load(self, params: ConvertParams, job: Any, folder: Path) -> dict[str, Any]:
        conversion = Conversion.objects.select_related("source__base_version").get(
            pk=params.conversion
        )
        source = conversion.source
        tree_materialise(source.manifest, folder / "source")
        digests = {path: entry["sha256"] for path, entry in source.manifest.items()}
        if target_get(params.format).takes_adapter:
            base = source.base_version
            assert base is not None
            tree_materialise(base.manifest, folder / "source" / "base")
            digests |= {f"base/{path}": entry["sha256"] for path, entry in base.manifest.items()}
        return {
            "source": str(folder / "source"),
            "digests": digests,
            "documents": self._documents(conversion.dataset_version, folder),
            "limits": {name: row["limit"] for name, row in conversion.gate.items()},
            "facts": (source.base_version or source).facts
            if target_get(params.format).takes_adapter
            else source.facts,
        }

    @staticmethod
    def _documents(data: DatasetVersion | None, folder: Path) -> list[str]:
        if data is None:
            return []
        shards = {
            path: entry for path, entry in data.manifest.items() if path.startswith("validation/")
        }
        tree_materialise(shards, folder / "dataset")
        return [str(folder / "dataset" / path) for path in sorted(shards)]

    def run(self, params: ConvertParams, inputs: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
        from workers.lm.errors import InvalidWork, Stopped, UnusableModel
        from workers.lm.formats.convert import Work, convert

        work = Work(
            format=params.format,
            precision=params.precision,
            source=Path(inputs["source"]),
            out=ctx.output_dir / MODEL,
            digests=inputs["digests"],
            documents=[Path(path) for path in inputs["documents"]],
            most_documents=params.max_documents,
            limits=inputs["limits"],
            threads=params.threads,
        )
        write_record(ctx)
        try:
            report = convert(work, ctx)  # type: ignore[arg-type]
        except InvalidWork as error:
            raise JobFailed(error.message, reason="config_invalid", field=error.field) from error
        except UnusableModel as error:
            raise JobFailed(str(error), reason="integrity") from error
        except Stopped as error:
            raise JobStopped(str(error)) from error
        for check in report["checks"]:
            ctx.log(f"{check['measure']}: {check['value']} (limit {check['limit']})")
        facts = {**inputs["facts"], "precision": params.precision}
        return {"report": report, "facts": facts, "metrics": {}}

    def store(
        self, params: ConvertParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        """What the gate keeps back is not stored at all."""
        if not result["report"]["passed"]:
            return {**result, "manifest": {}}
        record = record_files(job=job, folder=output_dir / RECORD)
        return {**result, "manifest": tree_put(output_dir / MODEL), "record": record}

    def apply(self, params: ConvertParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        conversion = conversion_complete(conversion_id=params.conversion, job=job, result=result)
        return {
            "conversion": conversion.pk, "model_version": conversion.output_id,
            "passed": conversion.passed,
        }  # fmt: skip

    def ended(self, params: ConvertParams, job: Any) -> None:
        # A lost attempt is followed by another one; only the end of the job is a failure.
        if job.state in TERMINAL:
            conversion_fail(conversion_id=params.conversion, job=job)


register(
    *(
        Target(
            name=row.name,
            label=row.label,
            purpose=row.purpose,
            produces=row.produces,
            precisions=tuple(
                Precision(
                    name=choice.name,
                    bytes_per_weight=choice.bytes_per_weight,
                    gate=asdict(choice.gate),
                )
                for choice in row.precisions
            ),
            packages=row.packages,
            extra=row.extra,
            takes=row.takes,
            memory_per_weight=row.memory_per_weight,
        )
        for row in FORMATS.values()
    )
)
