"""Train a model from documents to a folder that can be served: the one call from outside."""

import errno
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from workers.lm.compute.memory import MemoryEstimate, available_bytes, estimate
from workers.lm.compute.precision import bf16_pays
from workers.lm.compute.threads import use_threads
from workers.lm.durable import remove_folder
from workers.lm.errors import CorruptCheckpoint, InvalidTraining, UnusableModel
from workers.lm.events import Events
from workers.lm.families.lora import trainable, with_adapter
from workers.lm.families.transformer import (
    architecture_of,
    build_config,
    check_finite,
    context_of,
    load_model,
    move,
    new_model,
)
from workers.lm.training.beginning import checkpoint_to_begin_with
from workers.lm.training.checkpoints import Checkpoint
from workers.lm.training.export import export_model
from workers.lm.training.parallel import Alone
from workers.lm.training.preparation import Prepared, check_files, prepare
from workers.lm.training.report import Report
from workers.lm.training.result import TrainResult
from workers.lm.training.spec import TrainSpec
from workers.lm.training.trainer import Progress, Trainer

PathLike = Path | str
TIMES = {"seconds", "tokens_per_second"}


def train(
    spec: TrainSpec,
    train_files: Sequence[PathLike],
    validation_files: Sequence[PathLike],
    work_dir: PathLike,
    checkpoint_dir: PathLike,
    output_dir: PathLike,
    events: Events,
    base_dir: PathLike | None = None,
    resume_from: PathLike | None = None,
    attempt: int = 1,
    start: Mapping[str, str] | None = None,
    base_name: Mapping[str, str] | None = None,
    parallel: Alone | None = None,
) -> TrainResult:
    """Train as `spec` says and publish the model in `output_dir`.

    `resume_from` is one checkpoint, or a folder of them: then the newest whole one is taken,
    torn ones are reported and passed over, and an empty folder means a start from the beginning,
    or from `start`: the path and the digest of a checkpoint of another run. `base_name` (model and
    revision) is what an adapter says of its base.
    Where `spec` asks for several processes, each calls this with `parallel`, how it is joined to
    the others; see `distributed.training`.
    Raises InvalidTraining before any work, Stopped when asked to stop, TrainingDiverged.
    """
    work, checkpoints = Path(work_dir), Path(checkpoint_dir)
    base = Path(base_dir) if base_dir is not None else None
    train_paths, validation_paths = _paths(train_files), _paths(validation_files)
    spec.check(has_base=base is not None)
    check_files(spec, train_paths, validation_paths)
    architecture = architecture_of(spec) if base is None else None
    parallel = parallel or Alone()
    if parallel.world != spec.processes:
        raise ValueError(f"{spec.processes} processes were asked for, {parallel.world} are here")
    use_threads(spec.threads)
    folder = Path(resume_from) if resume_from is not None else None
    resumed = checkpoint_to_begin_with(folder, start, checkpoints, attempt, events, parallel)
    report = Report(
        events, spec.steps, resumed.step if resumed else 0, resumed.path if resumed else None
    )
    known = resumed.path if resumed else base
    data = _prepared(spec, train_paths, validation_paths, work, report, known, parallel)
    if spec.lora_rank:
        assert base is not None
        frozen = _model(spec, architecture, data, base)
        model = with_adapter(frozen, spec, base_name or {}, resumed.path if resumed else None)
    else:
        model = _model(spec, architecture, data, known)
    parallel.check(model)
    _check_fit(spec, model, checkpoints, report, parallel)
    move(model, parallel.device())
    trainer = Trainer(spec, model, data, checkpoints, attempt, events, report, parallel)
    if resumed is not None:
        _resume(trainer, resumed, report)
        _check_data(data, resumed, report, strict=start is not None)
    progress = trainer.run()
    report.stage("saving")
    return _finish(spec, trainer, progress, Path(output_dir), base)


def _paths(files: Sequence[PathLike]) -> list[Path]:
    return [Path(file) for file in files]


def _prepared(
    spec: TrainSpec,
    train_files: Sequence[Path],
    validation_files: Sequence[Path],
    work: Path,
    report: Report,
    known: Path | None,
    parallel: Alone,
) -> Prepared:
    """The tokens; the first process of each machine makes them, and the others find them made."""
    data = None
    if parallel.is_first_here:
        data = prepare(spec, train_files, validation_files, work, report, known)
    if data is not None and parallel.is_main:
        report.metric({"unigram_entropy": data.unigram_entropy})
    parallel.after_firsts()
    if data is None:
        data = prepare(spec, train_files, validation_files, work, report, known)
    if parallel.nodes > 1:
        _check_alike(data, parallel)
    return data


def _check_alike(data: Prepared, parallel: Alone) -> None:
    """Every machine learned its own tokenizer: the same documents must have given the same."""
    mine = (data.train.fingerprint, data.validation.fingerprint)
    if parallel.of_main(mine) != mine:
        raise InvalidTraining(
            "nodes",
            "This node made other tokens of the same documents than that of process 0. "
            "Install the same packages on all nodes.",
        )


def _model(
    spec: TrainSpec, architecture: dict[str, Any] | None, data: Prepared, known: Path | None
) -> PreTrainedModel:
    if known is None:
        assert architecture is not None
        return new_model(build_config(spec, architecture, data.tokenizer), spec.seed)
    model = load_model(known, dropout=spec.dropout)
    context = context_of(model.config)
    if context is not None and context < spec.sequence_length:
        raise InvalidTraining(
            "sequence_length", f"The model that training starts from reads only {context} tokens."
        )
    if model.config.vocab_size < len(data.tokenizer):
        raise UnusableModel("The tokenizer knows more tokens than the model.")
    return model


def _check_fit(
    spec: TrainSpec, model: PreTrainedModel, checkpoints: Path, report: Report, parallel: Alone
) -> None:
    """Refuse what memory or disk cannot hold while it still costs nothing."""
    device = parallel.device()
    needed = estimate(
        model.config.to_dict(),
        spec.batch_size,
        spec.sequence_length,
        spec.gradient_accumulation,
        spec.precision,
        dropout=spec.dropout,
        trained=trainable(model) if spec.lora_rank else None,
    ).shared(parallel.world, parallel.copies, each=device.type == "cuda", nodes=parallel.nodes)
    free = available_bytes() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
    report.log(
        f"The model has {needed.parameters:,} parameters; training needs about "
        f"{needed.total / 2**20:,.0f} MiB of memory."
    )
    if free is not None and needed.total > 1.25 * free:
        raise _too_large(needed, free)
    if spec.precision == "bf16" and not bf16_pays(device):
        report.log("bf16 is slower than fp32 on this processor.", "warning")
    if not parallel.is_main:
        return
    checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoint_bytes = 12 * (trainable(model) if spec.lora_rank else needed.parameters)
    if spec.checkpoint_every and shutil.disk_usage(checkpoints).free < 2 * checkpoint_bytes:
        raise OSError(
            errno.ENOSPC,
            f"Two checkpoints need {2 * checkpoint_bytes / 2**20:,.0f} MiB of disk, "
            "which are not free",
            str(checkpoints),
        )


def _too_large(needed: MemoryEstimate, free: int) -> InvalidTraining:
    fixed = needed.total - needed.activations
    field = "batch_size" if fixed < free else "preset"
    remedy = (
        "Lower batch_size or sequence_length, or raise gradient_accumulation."
        if fixed < free
        else "Choose a smaller model."
    )
    return InvalidTraining(
        field,
        f"This needs about {needed.total / 2**30:.1f} GiB of memory and "
        f"{free / 2**30:.1f} GiB are free. {remedy}",
    )


def _resume(trainer: Trainer, checkpoint: Checkpoint, report: Report) -> None:
    if checkpoint.step > trainer.spec.steps:
        raise InvalidTraining(
            "steps",
            f"The checkpoint is at step {checkpoint.step:,} already; ask for more steps than that.",
        )
    try:
        trainer.resume(checkpoint)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptCheckpoint(f"{checkpoint.path.name} cannot be continued: {error}") from error
    report.log(f"Going on from checkpoint {checkpoint.path.name}.")


def _check_data(data: Prepared, checkpoint: Checkpoint, report: Report, *, strict: bool) -> None:
    if checkpoint.state["data"]["train"] == data.train.fingerprint:
        return
    text = "The training documents are not those of the checkpoint."
    if strict:
        raise InvalidTraining("dataset", text)
    report.log(text, "warning")


def _finish(
    spec: TrainSpec, trainer: Trainer, progress: Progress, output_dir: Path, base: Path | None
) -> TrainResult:
    if progress.train_loss is None or progress.validation_loss is None:
        raise CorruptCheckpoint("The checkpoint is of the last step but holds no losses.")
    seen = spec.steps * spec.batch_size * spec.sequence_length
    figures: dict[str, Any] = {
        "steps": spec.steps,
        "parameters": trainer.parameters,
        "vocab_size": len(trainer.data.tokenizer),
        "train_tokens": len(trainer.data.train),
        "validation_tokens": len(trainer.data.validation),
        "tokens_seen": seen,
        "train_loss": progress.train_loss,
        "validation_loss": progress.validation_loss,
        "best_validation_loss": progress.best_loss,
        "best_step": progress.best_step,
        "unigram_entropy": trainer.data.unigram_entropy,
        "seconds": progress.seconds,
        "tokens_per_second": seen / max(progress.seconds, 1e-9),
    }
    # The same training gives the same file: how long it took and where is told elsewhere.
    facts = {
        "result": {name: value for name, value in figures.items() if name not in TIMES},
        "spec": spec.to_dict(),
        "from_base": base is not None,
        "data": {
            "train": trainer.data.train.fingerprint,
            "validation": trainer.data.validation.fingerprint,
        },
    }
    files = _publish(trainer, facts, output_dir)
    return TrainResult(output_dir=output_dir, files=files, **figures)


def _publish(
    trainer: Trainer, facts: dict[str, Any], output_dir: Path
) -> dict[str, dict[str, Any]]:
    """Write the model; of several processes the main one does, and the others give their parts."""
    parallel, tokenizer = trainer.parallel, trainer.data.tokenizer
    if not parallel.is_main:
        check_finite(trainer.model)
        parallel.give_model(trainer.model)
        parallel.after_main()
        return {}
    if output_dir.exists() and any(output_dir.iterdir()):
        remove_folder(output_dir)  # left by an attempt that died after publishing
    files = export_model(trainer.model, tokenizer, facts, output_dir, parallel.save_model)
    parallel.after_main()
    return files
