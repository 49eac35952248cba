"""Train a model from documents to a folder that can be served: the one call from outside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from workers.lm.compute.allocator import keep_memory
from workers.lm.compute.threads import use_threads
from workers.lm.errors import InvalidTraining, UnusableModel
from workers.lm.events import Events
from workers.lm.families.lora import with_adapter
from workers.lm.families.transformer import (
    architecture_of,
    build_config,
    context_of,
    load_model,
    move,
    new_model,
)
from workers.lm.training.beginning import checkpoint_of_all
from workers.lm.training.checkpoints import Checkpoint, sweep_unfinished
from workers.lm.training.finishing import finish
from workers.lm.training.fitting import check_fit
from workers.lm.training.manner import manner_of
from workers.lm.training.parallel import Alone
from workers.lm.training.preparation import Prepared, check_files, prepare
from workers.lm.training.report import Report
from workers.lm.training.result import TrainResult
from workers.lm.training.resuming import (
    check_same_data,
    check_same_settings,
    find_checkpoint,
    recorded_manner,
    start_adapter,
    start_checkpoint,
)
from workers.lm.training.spec import TrainSpec
from workers.lm.training.trainer import Trainer

PathLike = Path | str


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
    node_dir: PathLike | None = None,
    manner: Mapping[str, Any] | None = None,
    speed: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train as `spec` says and publish the model in `output_dir`.

    `resume_from` is one checkpoint, or a folder of them: then the newest whole one is taken,
    torn ones are reported and passed over, and an empty folder means a start from the beginning,
    or from `start`: the path and the digest of a checkpoint of another run, or under `adapter` the
    folder of an adapter that is trained further. `base_name` (model and revision) is what an
    adapter says of its base.
    Where `spec` asks for several processes, each calls this with `parallel`, how it is joined to
    the others; see `distributed.training`.
    `node_dir` is where trainings of this node share what they measured, else `work_dir`.
    `manner` is that of a version that is to be made again; see `manner.Manner`.
    `speed` is what was measured of the node, see `compute.speed`: the share of it that the
    training reaches is told.
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
    keep_memory()
    resumed = _resumed(spec, resume_from, start, checkpoints, attempt, events, parallel)
    report = Report(
        events, spec.steps, resumed.step if resumed else 0, resumed.path if resumed else None
    )
    known = resumed.path if resumed else base
    data = _prepared(spec, train_paths, validation_paths, work, report, known, parallel)
    if spec.lora_rank:
        assert base is not None
        frozen = _model(spec, architecture, data, base)
        begun = resumed.path if resumed else start_adapter(start)
        model = with_adapter(frozen, spec, base_name or {}, begun)
    else:
        model = _model(spec, architecture, data, known)
    parallel.check(model)
    recorded = recorded_manner(resumed) if resumed else manner
    how = manner_of(spec, parallel.device(), recorded)
    check_fit(spec, how, model, checkpoints, report, parallel)
    move(model, parallel.device())
    trainer = Trainer(spec, how, model, data, checkpoints, attempt, events, report, parallel, speed)
    if resumed is not None:
        trainer.resume(resumed)
        report.log(f"Going on from checkpoint {resumed.path.name}.")
        check_same_data(data, resumed, report, strict=start is not None)
    progress = trainer.run((work, Path(node_dir or work)))
    report.stage("saving")
    return finish(trainer, progress, Path(output_dir), has_base=base is not None)


def _resumed(
    spec: TrainSpec,
    resume_from: PathLike | None,
    start: Mapping[str, str] | None,
    checkpoints: Path,
    attempt: int,
    events: Events,
    parallel: Alone,
) -> Checkpoint | None:
    """The checkpoint to go on from; the main process finds it for all."""
    if parallel.is_main:
        sweep_unfinished(checkpoints, attempt)
    if parallel.nodes > 1:
        folder = Path(resume_from) if resume_from is not None else None
        resumed = checkpoint_of_all(folder, start, events, parallel)
    else:
        found = None
        if parallel.is_main:
            found = find_checkpoint(resume_from, events) or start_checkpoint(start)
        parallel.after_main()
        resumed = parallel.of_main(found)
    if resumed is not None:
        check_same_settings(spec, resumed)
    return resumed


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
