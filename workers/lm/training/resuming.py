"""The checkpoint that a training goes on from: finding it, and whether it is of this training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.lm.errors import InvalidTraining
from workers.lm.events import Events
from workers.lm.training.checkpoints import Checkpoint, newest_valid_checkpoint, verify_checkpoint
from workers.lm.training.preparation import Prepared
from workers.lm.training.report import Report
from workers.lm.training.spec import TrainSpec

#: What may change on the way: when a training ends, looks, saves and gives up, and on how much it
#: runs. Everything else decides what the state in a checkpoint means.
MAY_CHANGE = frozenset({
    "steps", "schedule_steps", "gradient_accumulation", "evaluate_every", "evaluation_batches",
    "checkpoint_every", "keep_checkpoints", "log_every", "patience", "min_improvement", "publish",
    "on_divergence", "spike_factor", "divergence_budget", "threads", "processes", "parallel",
    "nodes", "activation_checkpointing", "checkpoint_in_background", "compile", "sample_prompts",
    "sample_tokens",
})  # fmt: skip
_LONGEST_VALUE = 60


def find_checkpoint(resume_from: Path | str | None, events: Events) -> Checkpoint | None:
    """One checkpoint as it is, or the newest whole one of a folder; torn ones are reported."""
    if resume_from is None:
        return None
    path = Path(resume_from)
    if path.name.startswith("step-"):
        return verify_checkpoint(path)
    return newest_valid_checkpoint(
        path,
        lambda torn, why: events.log(f"Passing over checkpoint {torn.name}: {why}", "warning"),
    )


def start_checkpoint(start: Mapping[str, str] | None) -> Checkpoint | None:
    """The checkpoint of another run, which must be the one that was recorded."""
    if start is None or "path" not in start:
        return None
    return verify_checkpoint(Path(start["path"]), start["digest"])


def start_adapter(start: Mapping[str, str] | None) -> Path | None:
    """The folder of an adapter that is trained further."""
    return Path(start["adapter"]) if start and "adapter" in start else None


def recorded_manner(checkpoint: Checkpoint) -> dict[str, Any]:
    """How the training computed so far; old checkpoints do not say it but by their settings."""
    old = {"precision": checkpoint.state["spec"]["precision"], "compiled": False}
    found: dict[str, Any] = checkpoint.state.get("manner", old)
    return found


def check_same_settings(spec: TrainSpec, checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint of other settings, naming all that differ with old and new value."""
    new = spec.to_dict()
    # A setting that did not exist then was as it is when it is left out.
    old = {**TrainSpec().to_dict(), **checkpoint.state.get("spec", new)}
    differ = [name for name in new if name not in MAY_CHANGE and old[name] != new[name]]
    if differ:
        changes = "; ".join(f"{name} was {_short(old[name])}, now {_short(new[name])}"
                            for name in differ)  # fmt: skip
        raise InvalidTraining(
            differ[0],
            f"The checkpoint {checkpoint.path.name} was written by a training with other "
            f"settings: {changes}. Set them back, or begin anew.",
        )
    if checkpoint.step > spec.steps:
        raise InvalidTraining(
            "steps",
            f"The checkpoint is at step {checkpoint.step:,} already; ask for more steps than that.",
        )


def check_same_data(
    data: Prepared, checkpoint: Checkpoint, report: Report, *, strict: bool
) -> None:
    """Warn of other documents than those of the checkpoint, or refuse them."""
    if checkpoint.state["data"]["train"] == data.train.fingerprint:
        return
    text = "The training documents are not those of the checkpoint."
    if strict:
        raise InvalidTraining("dataset", text)
    report.log(text, "warning")


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
