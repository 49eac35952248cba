"""Rebuilds a version from its record alone and compares what comes out, to the last bit."""

import json
from pathlib import Path
from typing import Any

from models_app.configs.models import ConfigRevision
from models_app.core.blobs import tree_materialise
from models_app.core.errors import FieldError
from models_app.jobs.kind import JobContext, JobKind, Params, job_kinds
from models_app.jobs.states import TERMINAL
from models_app.registry.models import ModelVersion, Reproduction
from models_app.registry.recording import CODE
from models_app.registry.services.reproducing import reproduction_complete, reproduction_fail
from workers.training import (
    MODEL,
    RECORD,
    is_told_elsewhere,
    training_inputs,
    training_nodes,
    training_processes,
    training_resources,
    training_run,
)


class ReproduceParams(Params):
    """The version to rebuild, and where the report goes."""

    reproduction: int
    version: int


@job_kinds.register
class Reproduce(JobKind):
    """The training of a version again, in folders of its own; makes a report and no version."""

    name = "reproduce"
    label = "Rebuild a model version"
    Params = ReproduceParams
    uses_gpu = True
    pausable = True
    submittable = False  # it belongs to the report that it makes

    def check(self, params: ReproduceParams, *, actor: Any, team: Any) -> None:
        rows = Reproduction.objects.filter(version__model__team=team, version=params.version)
        if not rows.filter(pk=params.reproduction).exists():
            raise FieldError("reproduction", "There is no such rebuilding.")

    def title(self, params: ReproduceParams) -> str:
        return f"Rebuild model version {params.version}"

    def resources(self, params: ReproduceParams) -> dict[str, Any]:
        return training_resources(_revision(params))

    def gpus(self, params: ReproduceParams) -> int:
        return training_processes(_revision(params))

    def nodes(self, params: ReproduceParams) -> int:
        return training_nodes(_revision(params))

    def load(self, params: ReproduceParams, job: Any, folder: Path) -> dict[str, Any]:
        version = ModelVersion.objects.select_related(
            "dataset_version", "base_version", "config_revision__config", "record"
        ).get(pk=params.version)
        assert version.dataset_version is not None
        tree_materialise(version.manifest, folder / "recorded")
        record = getattr(version, "record", None)
        files = record.files if record else {}
        if CODE in files:
            tree_materialise({CODE: files[CODE]}, folder / "record")
        dataset = version.dataset_version.manifest
        return {
            **training_inputs(version, folder),
            "recorded": str(folder / "recorded"),
            "code": str(folder / "record" / CODE) if CODE in files else None,
            "dataset_dir": str(folder / "dataset"),
            "dataset": {path: entry["sha256"] for path, entry in dataset.items()},
        }

    def run(
        self, params: ReproduceParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        from workers.lm.training.comparing import compare_folders

        dataset = _changed(Path(inputs["dataset_dir"]), inputs["dataset"])
        training_run({**inputs, "manner": _manner(Path(inputs["recorded"]))}, ctx)
        if is_told_elsewhere(ctx):
            return {}
        code = _code(inputs["code"], ctx.output_dir / RECORD / CODE)
        found = compare_folders(Path(inputs["recorded"]), ctx.output_dir / MODEL)
        for row in found["files"]:
            ctx.log(f"{row['path']}: {row['result']}")
        return {"dataset": dataset, "code": code, **found}

    def apply(self, params: ReproduceParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        row = reproduction_complete(reproduction_id=params.reproduction, job=job, found=result)
        return {"verdict": row.verdict, "divergence": row.divergence}

    def ended(self, params: ReproduceParams, job: Any) -> None:
        # A lost attempt is followed by another one; only the end of the job is a failure.
        if job.state in TERMINAL:
            reproduction_fail(reproduction_id=params.reproduction, job=job)


def _revision(params: ReproduceParams) -> ConfigRevision:
    version = ModelVersion.objects.select_related("config_revision__config").get(pk=params.version)
    assert version.config_revision is not None
    return version.config_revision


def _manner(recorded: Path) -> dict[str, Any] | None:
    """How the version was computed where its settings leave that open; older ones do not say."""
    from workers.lm.training.export import FACTS

    facts = recorded / FACTS
    return json.loads(facts.read_text()).get("manner") if facts.is_file() else None


def _changed(folder: Path, digests: dict[str, str]) -> list[dict[str, Any]]:
    """Files of the dataset that are not what the record says."""
    from workers.lm.durable import file_digest

    found = {path: file_digest(folder / path) for path in digests}
    return [
        {"path": path, "recorded": digests[path], "found": found[path]}
        for path in sorted(digests)
        if found[path] != digests[path]
    ]


def _code(recorded: str | None, found: Path) -> list[dict[str, Any]] | None:
    """Source files that are others than those of the record; None if it has none."""
    from workers.lm.compute.sources import read_sources

    if recorded is None:
        return None
    old, new = read_sources(Path(recorded)), read_sources(found)
    return [
        {"path": path, "recorded": old.get(path), "found": new.get(path)}
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
