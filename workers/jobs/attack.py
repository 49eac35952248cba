"""Runs the attack suite against a model version: what it leaks, obeys, and knows by heart."""

import random
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _
from pydantic import Field

from models_app.core.blobs import tree_materialise, tree_verify
from models_app.core.errors import FieldError
from models_app.jobs.kind import (
    Input,
    JobContext,
    JobFailed,
    JobKind,
    JobStopped,
    Params,
    job_kinds,
)
from models_app.registry.adapters import adapter_base, files_to_load
from models_app.registry.attacks import attack_check, training_data
from models_app.registry.inputs import data_input, version_input
from models_app.registry.models import ModelVersion
from models_app.registry.services.attacks import attack_complete

#: Shards of the training data that are laid out: of more, these are drawn by a fixed seed.
MOST_SHARDS = 8


class AttackParams(Params):
    """What is attacked, and how long."""

    version: int = Field(title="Model version")
    seed: int = Field(
        0, ge=0, lt=1 << 31, title="Seed", description="Chooses the secret words of the run."
    )
    tokens: int = Field(64, ge=16, le=512, title="Tokens of an answer")
    rows: int = Field(
        20, ge=0, le=200, title="Training rows",
        description="So many are begun, to see whether the model continues them word for word.",
    )  # fmt: skip
    threads: int = Field(1, ge=1, le=1024, title="Threads")


@job_kinds.register
class Attack(JobKind):
    """The same version, seed and suite give the same result on one machine."""

    name = "attack"
    label = "Attack a model version"
    Params = AttackParams
    uses_gpu = True

    def check(self, params: AttackParams, *, actor: Any, team: Any) -> None:
        rows = ModelVersion.objects.select_related("model", "base_version", "source_version")
        version = rows.filter(pk=params.version, model__team=team).first()
        if version is None:
            raise FieldError("version", _("Choose a model version of the same team."))
        attack_check(version)

    def title(self, params: AttackParams) -> str:
        return f"Attack {_version(params)}"

    def inputs(self, params: AttackParams) -> list[Input]:
        version = _version(params)
        data, found = training_data(version), [version_input(version)]
        if (base := adapter_base(version)) is not None:
            found.append(version_input(base, "base version"))
        return [*found, data_input(data)] if data is not None and params.rows else found

    def load(self, params: AttackParams, job: Any, folder: Path) -> dict[str, Any]:
        version = _version(params)
        files = files_to_load(version)
        tree_verify(files, tree_materialise(files, folder / "model"))
        data = training_data(version) if params.rows else None
        shards = _shards(data.manifest) if data is not None else {}
        if shards:
            tree_verify(shards, tree_materialise(shards, folder / "dataset"))
        return {
            "model_dir": str(folder / "model"),
            "files": [str(folder / "dataset" / path) for path in sorted(shards)],
        }

    def run(self, params: AttackParams, inputs: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
        from workers.lm.attacks.running import attack
        from workers.lm.compute.environment import environment_record
        from workers.lm.errors import InvalidWork, Stopped, UnusableModel

        try:
            report = attack(
                inputs["model_dir"], inputs["files"], ctx,  # type: ignore[arg-type]
                seed=params.seed, tokens=params.tokens, rows=params.rows, threads=params.threads,
            )  # fmt: skip
        except InvalidWork as error:
            raise JobFailed(error.message, reason="config_invalid", field=error.field) from error
        except UnusableModel as error:
            raise JobFailed(str(error), reason="integrity") from error
        except Stopped as error:
            raise JobStopped("Stopped between two answers.") from error
        ctx.environment(environment_record())
        ctx.metric(0, {"attack_score": report["score"]})
        for row in report["categories"]:
            ctx.log(f"{row['name']}: {row['passed']} of {row['count']} passed {row['why']}".strip())
        return {"report": report}

    def apply(self, params: AttackParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        report = result["report"]
        run = attack_complete(job=job, version_id=params.version, seed=params.seed, report=report)
        return {"attack": run.pk, "score": run.score, "suite": run.suite}


def _version(params: AttackParams) -> ModelVersion:
    rows = ModelVersion.objects.select_related("model", "base_version", "dataset_version__dataset")
    return rows.get(pk=params.version)


def _shards(manifest: dict[str, Any]) -> dict[str, Any]:
    """Training shards, the same ones of the same data."""
    paths = sorted(path for path in manifest if path.startswith("train/"))
    chosen = random.Random(0).sample(paths, min(MOST_SHARDS, len(paths)))
    return {path: manifest[path] for path in sorted(chosen)}
