"""Scores a model version on the documents of a dataset version."""

from pathlib import Path
from typing import Any, Literal

from django.utils.translation import gettext as _
from pydantic import Field

from models_app.core.blobs import blob_put_file, tree_materialise, tree_verify
from models_app.core.errors import FieldError
from models_app.datasets.models import DatasetVersion
from models_app.datasets.states import Shape
from models_app.datasets.states import VersionState as DatasetState
from models_app.jobs.kind import (
    Input,
    JobContext,
    JobFailed,
    JobKind,
    JobStopped,
    Params,
    job_kinds,
)
from models_app.registry.adapters import adapter_base, adapter_check, files_to_load
from models_app.registry.formats import format_check
from models_app.registry.inputs import data_input, version_input
from models_app.registry.models import ModelVersion
from models_app.registry.services.evaluations import evaluation_complete
from models_app.registry.states import Task, VersionState


class EvaluateParams(Params):
    """What is scored, on what."""

    version: int = Field(title="Model version")
    dataset_version: int = Field(title="Dataset version")
    split: Literal["train", "validation"] = Field("validation", title="Split")
    task: Literal["perplexity", "multiple_choice", "exact_match"] = Field(
        "perplexity",
        title="Task",
        description="What is asked: how well text is predicted, which of several choices is the"
        " most probable, or whether the answer written is the right one.",
    )
    max_documents: int | None = Field(
        None, ge=1, le=10**9, title="Most documents", description="Empty takes all."
    )
    delimiter: str = Field(
        " ",
        max_length=10,
        title="Between prompt and choice",
        description="Of multiple choice: a space, or nothing where the rows have what is needed.",
    )
    max_tokens: int = Field(
        16,
        ge=1,
        le=1024,
        title="Longest answer",
        description="Of exact answers: so many tokens are written at most.",
    )
    stop: str = Field(
        "\n",
        max_length=20,
        title="End of an answer",
        description="Of exact answers: what follows this text is not looked at. Empty: all is.",
    )
    threads: int = Field(1, ge=1, le=1024, title="Threads")


@job_kinds.register
class Evaluate(JobKind):
    """Every document gets its own score, so that two versions can be compared in pairs."""

    name = "evaluate"
    label = "Evaluate a model version"
    Params = EvaluateParams
    uses_gpu = True

    def check(self, params: EvaluateParams, *, actor: Any, team: Any) -> None:
        rows = ModelVersion.objects.select_related("model", "base_version__model")
        version = rows.filter(pk=params.version, model__team=team).first()
        if version is None:
            raise FieldError("version", _("Choose a model version of the same team."))
        if version.state != VersionState.READY:
            raise FieldError(
                "version",
                _("%(version)s is not ready: %(state)s.")
                % {"version": version, "state": version.state},
            )
        format_check(version, "evaluate", "version")
        adapter_check(version, "evaluate", "version")
        data = DatasetVersion.objects.filter(pk=params.dataset_version, dataset__team=team).first()
        if data is None:
            raise FieldError("dataset_version", _("Choose a dataset version of the same team."))
        if data.state != DatasetState.READY:
            raise FieldError(
                "dataset_version",
                _("%(version)s is not ready: %(state)s.") % {"version": data, "state": data.state},
            )
        if not data.counts.get(params.split, {}).get("documents"):
            raise FieldError(
                "split",
                _("The %(split)s split of %(data)s has no documents.")
                % {"split": params.split, "data": data},
            )
        _check_task(params.task, data)

    def title(self, params: EvaluateParams) -> str:
        version = ModelVersion.objects.select_related("model").get(pk=params.version)
        data = DatasetVersion.objects.select_related("dataset").get(pk=params.dataset_version)
        return f"Evaluate {version} on {data}"

    def inputs(self, params: EvaluateParams) -> list[Input]:
        version = _version(params)
        data = DatasetVersion.objects.select_related("dataset").get(pk=params.dataset_version)
        base = adapter_base(version)
        bases = [] if base is None else [version_input(base, "base version")]
        return [version_input(version), *bases, data_input(data)]

    def load(self, params: EvaluateParams, job: Any, folder: Path) -> dict[str, Any]:
        files = files_to_load(_version(params))
        data = DatasetVersion.objects.get(pk=params.dataset_version)
        shards = {
            path: entry
            for path, entry in data.manifest.items()
            if path.startswith(f"{params.split}/")
        }
        tree_verify(files, tree_materialise(files, folder / "model"))
        tree_verify(shards, tree_materialise(shards, folder / "dataset"))
        return {
            "model_dir": str(folder / "model"),
            "files": [str(folder / "dataset" / path) for path in sorted(shards)],
        }

    def run(
        self, params: EvaluateParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        from workers.lm.compute.environment import environment_record
        from workers.lm.errors import InvalidWork, Stopped, UnusableModel
        from workers.lm.evaluation.asking import Asking, ask
        from workers.lm.evaluation.perplexity import evaluate

        events: Any = ctx
        given = (inputs["model_dir"], inputs["files"], ctx.output_dir, events, params.threads)
        how = params.model_dump(include={"task", "delimiter", "max_tokens", "stop"})
        result: Any
        try:
            if params.task == "perplexity":
                result = evaluate(*given, params.max_documents)
            else:
                result = ask(*given, Asking(**how), params.max_documents)
        except InvalidWork as error:
            raise JobFailed(error.message, reason="config_invalid", field=error.field) from error
        except UnusableModel as error:
            raise JobFailed(str(error), reason="integrity") from error
        except Stopped as error:
            raise JobStopped(str(error)) from error
        ctx.environment(environment_record())
        figures = result.to_dict()
        scores = Path(figures.pop("scores_file")).name
        return {"metrics": figures, "scores": scores}

    def store(
        self, params: EvaluateParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        sha256, _ = blob_put_file(output_dir / result["scores"])
        return {**result, "scores_sha256": sha256}

    def apply(self, params: EvaluateParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        metrics = {k: v for k, v in result["metrics"].items() if k != "scores_sha256"}
        evaluation = evaluation_complete(
            job=job,
            version_id=params.version,
            dataset_version_id=params.dataset_version,
            split=params.split,
            task=params.task,
            metrics=metrics,
            scores_sha256=result["scores_sha256"],
        )
        return {"evaluation": evaluation.pk, "metrics": metrics}


def _version(params: EvaluateParams) -> ModelVersion:
    rows = ModelVersion.objects.select_related("model", "base_version__model")
    return rows.get(pk=params.version)


def _check_task(task: str, data: DatasetVersion) -> None:
    """FieldError where the rows are not what the task asks about."""
    if data.shape == Shape.DOCUMENTS and task != Task.PERPLEXITY:
        said = _(
            "%(data)s holds documents, no questions. Choose perplexity, or import questions with"
            " the shape %(shape)s."
        )
        raise FieldError("task", said % {"data": data, "shape": task})
    if data.shape not in (Shape.DOCUMENTS, task):
        said = _("%(data)s holds questions of another kind. Choose the task %(shape)s.")
        raise FieldError("task", said % {"data": data, "shape": data.shape})
