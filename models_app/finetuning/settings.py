"""From what OpenAI's clients ask to the settings of a training."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models_app.datasets.models import DatasetVersion
from models_app.registry.further import adapter_settings, beginning_of
from models_app.registry.models import ModelVersion

Auto = Literal["auto"]
#: Usual learning rates of an adapter and of a whole model; the multiplier is of these.
RATE_ADAPTER, RATE_WHOLE = 2e-4, 2e-5
EPOCHS, RANK = 3, 16
#: A batch is about a fiftieth of the examples, within these bounds.
BATCH_SHARE, LARGEST_BATCH = 50, 32
LONGEST = 2048


class Hyperparameters(BaseModel):
    """OpenAI's three, and the rank of the adapter; 0 trains the whole model."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    n_epochs: Auto | int = Field("auto", description="How often each example is seen")
    batch_size: Auto | int = Field("auto", description="Examples of one step")
    learning_rate_multiplier: Auto | float = "auto"
    lora_rank: Auto | int = "auto"


#: The least and the most that may be asked.
BOUNDS = {
    "n_epochs": (1, 1000),
    "batch_size": (1, 4096),
    "learning_rate_multiplier": (1e-6, 1e5),
    "lora_rank": (0, 4096),
}


def settings_chosen(
    asked: dict[str, Any], data: DatasetVersion, base: ModelVersion
) -> dict[str, Any]:
    """The hyperparameters with what "auto" comes to for this data and this base."""
    examples = max(1, int(data.counts.get("train", {}).get("documents", 1)))
    size = min(LARGEST_BATCH, max(1, round(examples / BATCH_SHARE)))
    auto = {
        "n_epochs": EPOCHS, "batch_size": size, "learning_rate_multiplier": 1.0,
        "lora_rank": _adapter(base).get("lora_rank", RANK),
    }  # fmt: skip
    return {name: auto[name] if asked.get(name, "auto") == "auto" else asked[name] for name in auto}


def settings_spec(
    chosen: dict[str, Any], data: DatasetVersion, base: ModelVersion, seed: int
) -> dict[str, Any]:
    """The settings of the training: each conversation once an epoch, the loss on answers.

    An adapter is trained further with its own scale and layers.
    """
    examples = max(1, int(data.counts.get("train", {}).get("documents", 1)))
    size, rank = chosen["batch_size"], chosen["lora_rank"]
    an_epoch = math.ceil(examples / size)
    steps = math.ceil(chosen["n_epochs"] * examples / size)
    whole, adapter = beginning_of(base).base or base, _adapter(base)
    rate = (RATE_ADAPTER if rank else RATE_WHOLE) * chosen["learning_rate_multiplier"]
    return {
        "tokenizer": "base",
        "loss_on": "answers",
        "sampling": "documents",
        "sequence_length": min(LONGEST, int(whole.facts.get("context") or LONGEST)),
        "batch_size": size,
        "steps": steps,
        "learning_rate": rate,
        "min_learning_rate": 0.0,
        "warmup_steps": min(steps - 1, steps // 20),
        "schedule": "linear",
        "weight_decay": 0.0,
        "seed": seed,
        "evaluate_every": max(1, min(an_epoch, math.ceil(steps / 10))),
        "checkpoint_every": max(1, min(an_epoch, steps)),
        "log_every": max(1, steps // 500),
        "lora_alpha": float(2 * rank or 16),
        **adapter,
        "lora_rank": rank,
    }


def _adapter(base: ModelVersion) -> dict[str, Any]:
    """What an adapter has settled already; nothing for a whole version."""
    begun = beginning_of(base)
    return adapter_settings(begun.adapter) if begun.adapter else {}
