"""Measures the quality of a dataset version; its policy then passes or blocks it."""

from pathlib import Path
from typing import Any

from pydantic import Field

from models_app.core.blobs import tree_put
from models_app.core.errors import FieldError
from models_app.curation.services import quality_check_complete
from models_app.datasets.models import DatasetVersion
from models_app.datasets.quality import policy_spec
from models_app.datasets.states import VersionState
from models_app.jobs.kind import JobContext, JobFailed, JobKind, JobStopped, Params, job_kinds
from workers.datasets import version_shards


class DatasetCheckParams(Params):
    """What is measured, and against which other versions."""

    dataset_version: int
    against: list[int] = Field(default_factory=list, max_length=50)


@job_kinds.register
class DatasetCheck(JobKind):
    """Reads the version twice, in bounded memory; the lists of rows are kept as files."""

    name = "dataset_check"
    label = "Check a dataset version"
    Params = DatasetCheckParams
    submittable = False  # "check again" on the version's page submits it

    def check(self, params: DatasetCheckParams, *, actor: Any, team: Any) -> None:
        wanted = {params.dataset_version, *params.against}
        rows = DatasetVersion.objects.filter(
            pk__in=wanted, dataset__team=team, state=VersionState.READY
        )
        if rows.count() != len(wanted):
            raise FieldError("dataset_version", "Choose versions of the team that are ready.")

    def title(self, params: DatasetCheckParams) -> str:
        return f"Check dataset version {params.dataset_version}"

    def load(self, params: DatasetCheckParams, job: Any, folder: Path) -> dict[str, Any]:
        rows = DatasetVersion.objects.select_related("dataset")
        version = rows.get(pk=params.dataset_version)
        others = [
            {
                "id": other.pk,
                "name": str(other),
                "shards": version_shards(other, folder / str(other.pk)),
            }
            for other in rows.filter(pk__in=params.against).order_by("pk")
        ]
        return {
            "shards": version_shards(version, folder / str(version.pk)),
            "documents": version.counts["total"]["documents"],
            "near_threshold": policy_spec(version.team_id).near_threshold,
            "at_import": {
                "empty": {"count": version.source.get("empty_skipped", 0), "rows": []},
                "schema": version.source.get("invalid", {"count": 0, "rows": []}),
            },
            "others": others,
        }

    def run(
        self, params: DatasetCheckParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        from workers.lm.corpus.findings import NAMED
        from workers.lm.corpus.measuring import MeasureOptions, Other, measure
        from workers.lm.corpus.stored import CorruptShard, shards_of
        from workers.lm.errors import Stopped

        options = MeasureOptions(
            near_threshold=inputs["near_threshold"], documents=inputs["documents"]
        )
        others = [
            Other(id=other["id"], name=other["name"], shards=shards_of(other["shards"]))
            for other in inputs["others"]
        ]
        events: Any = ctx
        try:
            measured = measure(
                shards_of(inputs["shards"]), others, options, ctx.work_dir, ctx.output_dir, events
            )
        except CorruptShard as error:
            raise JobFailed(str(error), reason="integrity") from error
        except Stopped as error:
            raise JobStopped(str(error)) from error
        report = measured.to_dict()
        for name, found in inputs["at_import"].items():
            entry = report["measures"][name]
            entry["at_import"] = found["count"]
            entry["rows"] = [*entry["rows"], *found["rows"]][:NAMED]
        return {"report": {**report, "near_threshold": options.near_threshold}}

    def store(
        self, params: DatasetCheckParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        return {**result, "files": tree_put(output_dir)}

    def apply(self, params: DatasetCheckParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        quality = quality_check_complete(
            version_id=params.dataset_version, job=job, report=result["report"],
            files=result["files"],
        )  # fmt: skip
        measures = result["report"]["measures"]
        return {
            "dataset_version": params.dataset_version, "quality": str(quality.state),
            "counts": {name: entry["count"] for name, entry in measures.items()},
        }  # fmt: skip
