"""Answers the requests of a batch. Made by batches, not by hand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _
from pydantic import Field

from models_app.batches.answers import merge
from models_app.batches.models import Batch
from models_app.batches.selectors import batch_settings
from models_app.batches.services.ending import batch_completed, stored
from models_app.core.blobs import tree_materialise, tree_verify
from models_app.core.errors import FieldError
from models_app.datasets.selectors import split_files
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
from models_app.registry.inputs import data_input, version_input

#: More than fit the engine, so that it never waits for the next one.
AHEAD = 2
#: The batch itself bounds what is asked at once. A request may want many answers, and none of them
#: may be refused for want of room.
QUEUE = 1 << 20


class BatchInferParams(Params):
    """Which batch."""

    batch: int = Field(ge=1, title="Batch")


@job_kinds.register
class BatchInfer(JobKind):
    """Goes on from the answers that earlier attempts have saved; every request is answered once."""

    name = "batch_infer"
    label = "Answer a batch of requests"
    Params = BatchInferParams
    uses_gpu = True
    pausable = True
    submittable = False

    def check(self, params: BatchInferParams, *, actor: Any, team: Any) -> None:
        if not Batch.objects.filter(pk=params.batch, team=team, job=None).exists():
            raise FieldError("batch", _("There is no such batch that waits for a job."))

    def resources(self, params: BatchInferParams) -> dict[str, Any]:
        batch = _batch(params)
        spec = batch_settings(batch)
        return {"cpus": spec.threads * spec.tensor_parallel}

    def gpus(self, params: BatchInferParams) -> int:
        return batch_settings(_batch(params)).tensor_parallel

    def inputs(self, params: BatchInferParams) -> list[Input]:
        batch = _batch(params)
        version = batch.model_version
        assert version is not None
        base = adapter_base(version)
        found = [version_input(version), *([version_input(base, "base version")] if base else [])]
        if batch.dataset_version is not None:
            return [*found, data_input(batch.dataset_version)]
        assert batch.input_file is not None
        file = batch.input_file
        return [*found, Input(role="requests", name=file.key, digest=file.sha256)]

    def load(self, params: BatchInferParams, job: Any, folder: Path) -> dict[str, Any]:
        batch = _batch(params)
        assert batch.model_version is not None
        files = files_to_load(batch.model_version)
        tree_verify(files, tree_materialise(files, folder / "model"))
        spec = batch_settings(batch)
        return {
            "model_dir": str(folder / "model"),
            "name": batch.model,
            "endpoint": batch.endpoint,
            "total": batch.total,
            "template": batch.template,
            "files": _requests(batch, folder / "requests"),
            "options": {
                "threads": spec.threads, "max_slots": spec.max_slots, "dtype": spec.dtype,
                "max_context": spec.max_context or None, "backend": spec.backend,
                "tensor_parallel": spec.tensor_parallel,
            },
        }  # fmt: skip

    def run(
        self, params: BatchInferParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        import torch

        from workers.lm.compute.environment import environment_record
        from workers.lm.inference.batch import Answers, BatchStopped, Work
        from workers.lm.inference.errors import ModelRefused
        from workers.lm.inference.offline import offline
        from workers.lm.inference.server import EngineBroken, ServeOptions

        options = ServeOptions(
            model_dir=Path(inputs["model_dir"]), name=inputs["name"], secret="",
            device="cuda" if torch.cuda.is_available() else "cpu",
            max_waiting=QUEUE, **inputs["options"],
        )  # fmt: skip
        answers = Answers(ctx.checkpoint_dir, ctx, inputs["total"])
        if answers.done:
            ctx.log(f"{len(answers.done)} of {inputs['total']} requests are answered already.")
        ctx.progress(step=len(answers.done), total=inputs["total"], stage="loading")
        try:
            with offline(options, ctx.log, ctx.should_stop) as model:
                if model is None:
                    raise BatchStopped("Stopped before the model was loaded.")
                ctx.environment(environment_record())
                most = AHEAD * options.max_slots
                work = Work(
                    model=model, endpoint=inputs["endpoint"], answers=answers, ctx=ctx, most=most
                )
                work.do(_asked(inputs))
        except ModelRefused as error:
            raise JobFailed(str(error), reason="config_invalid") from error
        except EngineBroken as error:
            raise JobFailed(str(error), reason="killed", permanent=False) from error
        except BatchStopped as error:
            raise JobStopped(str(error)) from error
        return merge(answers.parts(), ctx.output_dir)

    def store(
        self, params: BatchInferParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        return stored(result, output_dir)

    def apply(self, params: BatchInferParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        batch = batch_completed(batch_id=params.batch, result=result)
        return {"batch": batch.key, "completed": batch.completed, "failed": batch.failed}


def _batch(params: BatchInferParams) -> Batch:
    rows = Batch.objects.select_related(
        "model_version__model__team", "model_version__base_version__model", "input_file",
        "dataset_version__dataset", "revision__config_revision__config",
    )  # fmt: skip
    return rows.get(pk=params.batch)


def _requests(batch: Batch, folder: Path) -> list[str]:
    """The file of requests, or the shards of the split, laid out in order."""
    if batch.dataset_version is not None:
        found = dict(split_files(batch.dataset_version, batch.split))
    else:
        assert batch.input_file is not None
        file = batch.input_file
        found = {"requests.jsonl": {"sha256": file.sha256, "size": file.size}}
    tree_verify(found, tree_materialise(found, folder))
    return [str(folder / path) for path in found]


def _asked(inputs: dict[str, Any]) -> Iterator[Any]:
    """The requests in the order of their lines."""
    from workers.lm.corpus.stored import document_of
    from workers.lm.inference.batch import Request

    number = 0
    for name in inputs["files"]:
        with Path(name).open("rb") as lines:
            for line in lines:
                if not line.strip():
                    continue
                if inputs["template"]:
                    _record, text, _kind, _problem = document_of(line)
                    body = {**_filled(inputs["template"], text), "model": inputs["name"]}
                    yield Request(number, f"row-{number}", body, text)
                else:
                    row = json.loads(line)
                    yield Request(number, row["custom_id"], row["body"])
                number += 1


def _filled(template: Any, text: str) -> Any:
    """The template with the row's text in place of {text}, wherever that stands."""
    if isinstance(template, str):
        return template.replace("{text}", text)
    if isinstance(template, list):
        return [_filled(part, text) for part in template]
    if isinstance(template, dict):
        return {name: _filled(part, text) for name, part in template.items()}
    return template
