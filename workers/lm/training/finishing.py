"""The end of a training: the model as a folder, and what came out in figures."""

from pathlib import Path
from typing import Any

from workers.lm.durable import remove_folder
from workers.lm.errors import CorruptCheckpoint
from workers.lm.families.transformer import check_finite
from workers.lm.training.export import export_model
from workers.lm.training.progress import Progress
from workers.lm.training.result import TrainResult
from workers.lm.training.trainer import Trainer

TIMES = {"seconds", "tokens_per_second"}


def finish(
    trainer: Trainer, progress: Progress, output_dir: Path, *, has_base: bool
) -> TrainResult:
    """Publish the model that the trainer holds; raises CorruptCheckpoint without its losses."""
    figures = _figures(trainer, progress)
    # The same training gives the same file: how long it took and where is told elsewhere.
    facts = {
        "result": {name: value for name, value in figures.items() if name not in TIMES},
        "spec": trainer.spec.deciding(),
        "manner": trainer.manner.to_dict(),
        "from_base": has_base,
        "data": {
            "train": trainer.data.train.fingerprint,
            "validation": trainer.data.validation.fingerprint,
        },
    }
    files = _publish(trainer, facts, output_dir)
    return TrainResult(output_dir=output_dir, files=files, **figures)


def _figures(trainer: Trainer, progress: Progress) -> dict[str, Any]:
    spec, data = trainer.spec, trainer.data
    if progress.train_loss is None or progress.validation_loss is None:
        raise CorruptCheckpoint("The checkpoint is of the last step but holds no losses.")
    best = spec.publish == "best"
    seen = progress.step * spec.batch_size * spec.sequence_length
    return {
        "steps": progress.step,
        "parameters": trainer.parameters,
        "vocab_size": len(data.tokenizer),
        "train_tokens": len(data.train),
        "validation_tokens": len(data.validation),
        "tokens_seen": seen,
        "train_loss": progress.train_loss,
        "validation_loss": progress.best_loss if best else progress.validation_loss,
        "best_validation_loss": progress.best_loss,
        "best_step": progress.best_step,
        "published_step": progress.best_step if best else progress.step,
        "stopped_early": int(progress.step < spec.steps),
        "skipped_steps": progress.skipped_steps,
        "rewinds": progress.rewinds,
        "unigram_entropy": data.unigram_entropy,
        "seconds": progress.seconds,
        "tokens_per_second": seen / max(progress.seconds, 1e-9),
    }


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
