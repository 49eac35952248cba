"""Turns uploaded or imported files into a dataset version: documents, split, shards."""

from pathlib import Path
from typing import Any

from django.conf import settings

from models_app.core.blobs import tree_materialise, tree_put
from models_app.core.errors import FieldError
from models_app.datasets.import_inputs import path_inputs
from models_app.datasets.importing import ImportOptions, import_files, is_held_out
from models_app.datasets.models import DatasetVersion
from models_app.datasets.services import version_complete, version_fail
from models_app.datasets.states import VersionState
from models_app.jobs.kind import (
    Input,
    JobContext,
    JobFailed,
    JobKind,
    JobStopped,
    Params,
    job_kinds,
)
from models_app.jobs.states import TERMINAL


class DatasetImportParams(Params, ImportOptions):
    """The version to fill, and how."""

    dataset_version: int


@job_kinds.register
class DatasetImport(JobKind):
    """Reads the sources once, in bounded memory, and publishes the whole version or nothing."""

    name = "dataset_import"
    on_console_disk = True  # the import directory lies there
    label = "Import a dataset version"
    Params = DatasetImportParams
    submittable = False  # it belongs to the version that it fills; "import again" makes both anew

    def check(self, params: DatasetImportParams, *, actor: Any, team: Any) -> None:
        version = DatasetVersion.objects.filter(
            pk=params.dataset_version, dataset__team=team, state=VersionState.PENDING
        ).first()
        if version is None:
            raise FieldError("dataset_version", "There is no such version waiting for its import.")

    def title(self, params: DatasetImportParams) -> str:
        return f"Import dataset version {params.dataset_version}"

    def inputs(self, params: DatasetImportParams) -> list[Input]:
        source = DatasetVersion.objects.get(pk=params.dataset_version).source
        # Uploads lie in the store under their digests, which the import compares by itself.
        return path_inputs(source["path"]) if source["kind"] == "path" else []

    def load(self, params: DatasetImportParams, job: Any, folder: Path) -> dict[str, Any]:
        version = DatasetVersion.objects.get(pk=params.dataset_version)
        source = version.source
        if source["kind"] == "path":
            return {"files": _from_directory(source)}
        manifest = {entry["name"]: entry for entry in source["files"]}
        tree_materialise(manifest, folder / "sources")
        return {
            "files": [
                {**entry, "path": str(folder / "sources" / entry["name"])}
                for entry in source["files"]
            ]
        }

    def run(
        self, params: DatasetImportParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        from workers.lm.corpus.building import CorpusOptions, build_corpus
        from workers.lm.corpus.sources import InvalidSource, Source
        from workers.lm.errors import Stopped

        chosen = params.model_dump(exclude={"dataset_version"})
        sources = [
            Source(
                name=entry["name"],
                path=Path(entry["path"]),
                size=entry["size"],
                held_out=is_held_out(entry["name"]),
            )
            for entry in inputs["files"]
        ]
        try:
            corpus = build_corpus(
                sources,
                CorpusOptions(**chosen, limit_bytes=settings.IMPORT_LIMIT_MIB << 20),
                ctx.work_dir,
                ctx.output_dir,
                ctx,  # type: ignore[arg-type]
            )
        except InvalidSource as error:
            raise JobFailed(error.message, reason="config_invalid", field=error.field) from error
        except Stopped as error:
            raise JobStopped(str(error)) from error
        except FileNotFoundError as error:
            raise JobFailed(
                f"{Path(error.filename or '').name} is no longer there. Import it again.",
                reason="config_invalid",
            ) from error
        _check_digests(inputs["files"], corpus.sources)
        return corpus.to_dict()

    def store(
        self, params: DatasetImportParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        return {**result, "manifest": tree_put(output_dir)}

    def apply(
        self, params: DatasetImportParams, job: Any, result: dict[str, Any]
    ) -> dict[str, Any]:
        version = version_complete(version_id=params.dataset_version, job=job, result=result)
        return {
            "dataset_version": version.pk, "digest": version.digest, "counts": version.counts,
        }  # fmt: skip

    def ended(self, params: DatasetImportParams, job: Any) -> None:
        # A lost attempt is followed by another one; only the end of the job is a failure.
        if job.state in TERMINAL:
            version_fail(version_id=params.dataset_version, job=job)


def _from_directory(source: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        found = dict(import_files(source["path"]))
    except FieldError as error:
        raise JobFailed(error.message, reason="config_invalid", field="path") from error
    missing = [entry["name"] for entry in source["files"] if entry["name"] not in found]
    if missing:
        raise JobFailed(
            f"{missing[0]} is no longer in the import directory.", reason="config_invalid"
        )
    return [
        {"name": name, "path": str(found[name]), "size": found[name].stat().st_size}
        for name in (entry["name"] for entry in source["files"])
    ]


def _check_digests(expected: list[dict[str, Any]], read: list[dict[str, Any]]) -> None:
    known = {entry["name"]: entry.get("sha256") for entry in expected}
    for entry in read:
        if known[entry["name"]] not in (None, entry["sha256"]):
            raise JobFailed(
                f"{entry['name']} is not what was uploaded: the stored file is damaged. "
                "Upload it again.",
                reason="integrity",
            )
