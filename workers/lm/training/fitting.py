"""Whether memory and disk can hold a training, while it still costs nothing to refuse it."""

import errno
import shutil
from pathlib import Path

import torch
from transformers import PreTrainedModel

from workers.lm.compute.memory import MemoryEstimate, available_bytes, estimate
from workers.lm.compute.precision import bf16_pays
from workers.lm.errors import InvalidTraining
from workers.lm.families.lora import trainable
from workers.lm.training.manner import Manner
from workers.lm.training.parallel import Alone
from workers.lm.training.report import Report
from workers.lm.training.saving import in_background
from workers.lm.training.spec import TrainSpec

#: Bytes of a weight and its moments in a checkpoint, and of the best weights that one may carry.
SAVED_BYTES, BEST_BYTES = 12, 4


def check_fit(
    spec: TrainSpec,
    manner: Manner,
    model: PreTrainedModel,
    checkpoints: Path,
    report: Report,
    parallel: Alone,
) -> None:
    """Refuse what memory or disk cannot hold; raises InvalidTraining or OSError."""
    device = parallel.device()
    on_cpu = device.type == "cpu"
    needed = estimate(
        model.config.to_dict(),
        spec.batch_size,
        spec.sequence_length,
        spec.gradient_accumulation,
        manner.precision,
        dropout=spec.dropout,
        trained=trainable(model) if spec.lora_rank else None,
        recomputed=spec.activation_checkpointing,
        copied=on_cpu and parallel.holds_all and in_background(spec, device),
    ).shared(parallel.world, parallel.copies, each=not on_cpu, nodes=parallel.nodes)
    free = available_bytes() if on_cpu else torch.cuda.mem_get_info(device)[0]
    report.log(
        f"The model has {needed.parameters:,} parameters; training needs about "
        f"{needed.total / 2**20:,.0f} MiB of memory."
    )
    if free is not None and needed.total > 1.25 * free:
        raise _too_large(spec, needed, free)
    if spec.precision == "bf16" and not bf16_pays(device):
        report.log("bf16 is slower than fp32 on this processor.", "warning")
    if parallel.is_main and spec.checkpoint_every:
        trained = trainable(model) if spec.lora_rank else needed.parameters
        best = BEST_BYTES if spec.publish == "best" else 0
        _check_disk(checkpoints, (SAVED_BYTES + best) * trained)


def _check_disk(checkpoints: Path, size: int) -> None:
    checkpoints.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(checkpoints).free < 2 * size:
        raise OSError(
            errno.ENOSPC,
            f"Two checkpoints need {2 * size / 2**20:,.0f} MiB of disk, which are not free",
            str(checkpoints),
        )


def _too_large(spec: TrainSpec, needed: MemoryEstimate, free: int) -> InvalidTraining:
    fixed = needed.total - needed.activations
    field, remedy = "preset", "Choose a smaller model."
    if fixed < free:
        keep = "" if spec.activation_checkpointing else ", or switch on activation_checkpointing"
        field = "batch_size"
        remedy = f"Lower batch_size or sequence_length, raise gradient_accumulation{keep}."
    return InvalidTraining(
        field,
        f"This needs about {needed.total / 2**30:.1f} GiB of memory and "
        f"{free / 2**30:.1f} GiB are free. {remedy}",
    )
