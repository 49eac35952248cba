"""The words that settings of a training choose from."""

from typing import Literal

TokenizerChoice = Literal["bpe", "char", "base"]
ScheduleChoice = Literal["cosine", "linear", "constant"]
PrecisionChoice = Literal["fp32", "bf16", "auto"]
SamplingChoice = Literal["windows", "epochs", "documents"]
LossChoice = Literal["all", "answers"]
ParallelChoice = Literal["ddp", "fsdp", "tensor"]
PublishChoice = Literal["last", "best"]
DivergenceChoice = Literal["stop", "skip", "rewind"]
Switch = Literal["auto", "on", "off"]

#: Modules that an adapter changes: every linear layer but the last.
ALL_LINEAR = "all-linear"


def target_names(targets: str) -> list[str]:
    """The names in `lora_targets`, each once, in order."""
    return sorted({name.strip() for name in targets.split(",") if name.strip()})
