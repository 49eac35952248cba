"""What the kinds that train have in common: from the rows of a version to the files of a model."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from models_app.configs.models import ConfigRevision
from models_app.configs.services import revision_spec
from models_app.core.blobs import tree_materialise, tree_verify
from models_app.core.digests import canonical_json
from models_app.jobs.kind import JobContext, JobFailed, JobStopped
from models_app.registry.families import is_markov
from models_app.registry.models import ModelVersion
from workers.lm.compute.memory import read_shape

#: Folders under the output of a training: the model, and what it was made with.
MODEL, RECORD = "model", "record"
ENVIRONMENT, CODE = "environment.json", "code.tar"
_NOT_METRICS = {"output_dir", "files"}


def training_processes(revision: ConfigRevision) -> int:
    """How many processes a training of these settings has on each of its nodes."""
    spec = revision_spec(revision).plain()
    return int(spec.get("processes", 1)) // int(spec.get("nodes", 1))


def training_nodes(revision: ConfigRevision) -> int:
    """Over how many nodes a training of these settings is spread."""
    return int(revision_spec(revision).plain().get("nodes", 1))


def training_resources(revision: ConfigRevision) -> dict[str, Any]:
    """What such a training asks of each of its nodes: processors for all processes there."""
    spec = revision_spec(revision).plain()
    if spec.get("processes", 1) == 1:
        return {}
    return {"cpus": spec["processes"] // spec["nodes"] * spec["threads"]}


def training_inputs(version: ModelVersion, folder: Path) -> dict[str, Any]:
    """Lay out what a version is trained from: data, base, checkpoint, settings."""
    assert version.dataset_version is not None and version.config_revision is not None
    manifest = version.dataset_version.manifest
    data = tree_verify(manifest, tree_materialise(manifest, folder / "dataset"))
    base = version.base_version
    if base is not None:
        tree_verify(base.manifest, tree_materialise(base.manifest, folder / "base"))
    return {
        "family": version.model.family,
        "spec": revision_spec(version.config_revision).plain(),
        "train_files": _files(data / "train"),
        "validation_files": _files(data / "validation"),
        "base_dir": str(folder / "base") if base is not None else None,
        "base_tokenizer": base.facts.get("tokenizer") if base is not None else None,
        "base_facts": base.facts if base is not None else {},
        "base_name": _named(base),
        "start": _start(version, folder / "start"),
    }


def _named(base: ModelVersion | None) -> dict[str, str]:
    """The base as clients of the Hub ask this console for it."""
    if base is None:
        return {}
    model = base.model
    return {"model": f"{model.team.slug}/{model.name}", "revision": f"v{base.number}"}


def _files(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.jsonl"))]


def _start(version: ModelVersion, folder: Path) -> dict[str, str] | None:
    """What this run begins with: an adapter, or a checkpoint of another run."""
    adapter, begun = version.begun_with, version.continued_from
    if adapter is not None:
        tree_verify(adapter.manifest, tree_materialise(adapter.manifest, folder))
        return {"adapter": str(folder)}
    if not begun:
        return None
    tree_materialise(begun["manifest"], folder)
    return {"path": str(folder / begun["name"]), "digest": begun["digest"]}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Figures of a finished training and the facts of its model; the files lie in the folder."""

    metrics: dict[str, Any]
    facts: dict[str, Any]


def training_run(inputs: dict[str, Any], ctx: JobContext) -> Trained:
    """Train in this process or in several, into the output folder; the record of how lies beside
    the model. Of several nodes only the first has something to tell of it; see `is_told_elsewhere`.

    Raises JobFailed or JobStopped.
    """
    from workers.lm.errors import (
        CorruptCheckpoint,
        InvalidWork,
        RankLost,
        Stopped,
        TrainingDiverged,
        UnusableModel,
    )

    run = _markov if is_markov(inputs["family"]) else _transformer
    try:
        return run(inputs, ctx)
    except RankLost as error:
        raise JobFailed(str(error), reason="killed", permanent=False) from error
    except InvalidWork as error:
        raise JobFailed(error.message, reason="config_invalid", field=error.field) from error
    except TrainingDiverged as error:
        raise JobFailed(str(error), reason="diverged") from error
    except (CorruptCheckpoint, UnusableModel) as error:
        raise JobFailed(str(error), reason="integrity") from error
    except Stopped as error:
        raise JobStopped(str(error)) from error


def _transformer(inputs: dict[str, Any], ctx: JobContext) -> Trained:
    from workers.lm.compute.devices import best_device, peak_memory

    result = _trained(inputs, ctx)
    if is_told_elsewhere(ctx):
        return Trained(metrics={}, facts={})
    metrics = {key: value for key, value in result.to_dict().items() if key not in _NOT_METRICS}
    if inputs["spec"].get("processes", 1) == 1:
        metrics["peak_memory_bytes"] = peak_memory(best_device())
    tokenizer = inputs["base_tokenizer"] or inputs["spec"]["tokenizer"]
    facts = (
        _adapter(ctx.output_dir / MODEL, inputs["base_facts"], tokenizer)
        if inputs["spec"].get("lora_rank")
        else _facts(ctx.output_dir / MODEL, tokenizer, result.parameters)
    )
    return Trained(metrics=metrics, facts=facts)


def _trained(inputs: dict[str, Any], ctx: JobContext) -> Any:
    from workers.lm.compute.threads import use_threads
    from workers.lm.training.distributed.training import train_together
    from workers.lm.training.run import train
    from workers.lm.training.spec import TrainSpec

    spec = TrainSpec.from_dict(inputs["spec"])
    files = (inputs["train_files"], inputs["validation_files"])
    folders = (ctx.work_dir, ctx.checkpoint_dir, ctx.output_dir / MODEL)
    events: Any = ctx
    options = {
        "base_dir": inputs["base_dir"],
        "base_name": inputs["base_name"],
        "resume_from": ctx.checkpoint_dir,
        "start": inputs["start"],
        "attempt": ctx.epoch,
        "speed": inputs.get("speed"),
        "node_dir": Path(settings.DATA_DIR) / "run" / "training",
        "manner": inputs.get("manner"),
    }
    use_threads(spec.threads)
    if spec.processes == 1:
        write_record(ctx)
        return train(spec, *files, *folders, events, **options)
    # The record asks for the accelerators, after which a process must not fork any more.
    options |= {"settled": _speak, "meeting": ctx.meeting}
    with train_together(spec, *files, *folders, events=events, **options) as ranks:
        write_record(ctx)
        return ranks.result()


def is_told_elsewhere(ctx: JobContext) -> bool:
    """Whether this is a part of a training over several nodes that another one tells of."""
    return ctx.meeting is not None and ctx.meeting["number"] > 0


def _markov(inputs: dict[str, Any], ctx: JobContext) -> Trained:
    from workers.lm.compute.memory import peak_bytes
    from workers.lm.compute.threads import use_threads
    from workers.lm.training.markov import train_markov

    use_threads(1)
    write_record(ctx)
    result = train_markov(
        inputs["family"],
        inputs["spec"],
        inputs["train_files"],
        inputs["validation_files"],
        ctx.work_dir,
        ctx.checkpoint_dir,
        ctx.output_dir / MODEL,
        ctx,  # type: ignore[arg-type]
        attempt=ctx.epoch,
    )
    metrics = {**result.figures, "peak_memory_bytes": peak_bytes()}
    return Trained(metrics=metrics, facts=result.facts)


def _facts(folder: Path, tokenizer: str, parameters: int) -> dict[str, Any]:
    """The shape of the finished model, as its own configuration tells it."""
    architecture = json.loads((folder / "config.json").read_text())
    shape = read_shape(architecture)
    return {
        "model_type": architecture.get("model_type"),
        "parameters": parameters,
        "layers": shape.layers,
        "width": shape.hidden,
        "heads": shape.heads,
        "context": shape.context,
        "vocab_size": shape.vocabulary,
        "tokenizer": tokenizer,
        "chat": (folder / "chat_template.jinja").exists(),
        "architecture": architecture,
    }


def _adapter(folder: Path, base: Mapping[str, Any], tokenizer: str) -> dict[str, Any]:
    """What the finished adapter is; its shape is that of its base."""
    from workers.lm.families.lora import adapter_facts

    shape = ("model_type", "layers", "width", "heads", "context", "vocab_size")
    return {
        **{name: base.get(name) for name in shape},
        **adapter_facts(folder),
        "tokenizer": tokenizer,
        "chat": (folder / "chat_template.jinja").exists(),
    }


def _speak(events: Any) -> None:
    """In one process of several: what it prints is said by its events, which name it."""
    from workers.context import Tee

    sys.stdout, sys.stderr = Tee(events, "stdout"), Tee(events, "stderr")


def write_record(ctx: JobContext) -> None:
    """Keep the environment and the sources of this process as files, before the work begins."""
    from workers.lm.compute.environment import environment_record
    from workers.lm.compute.sources import write_sources

    record = environment_record()
    ctx.environment(record)
    folder = ctx.output_dir / RECORD
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ENVIRONMENT).write_text(canonical_json(record))
    write_sources(folder / CODE)


def read_record(folder: Path) -> dict[str, Any]:
    """The environment that `write_record` kept."""
    found: dict[str, Any] = json.loads((folder / RECORD / ENVIRONMENT).read_text())
    return found
