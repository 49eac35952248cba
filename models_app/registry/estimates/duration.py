"""How long a training takes from its start to its version, part by part."""

from collections.abc import Mapping
from typing import Any

from models_app.configs.presets import training_step
from models_app.configs.specs import TrainingSpec
from models_app.registry.estimates.correction import Correction
from models_app.registry.estimates.outcome import Seconds
from models_app.registry.families import is_markov
from models_app.registry.services.planning_markov import markov_seconds
from models_app.registry.training_plans import TrainingPlan

#: Characters a second that become tokens, the learning of the tokenizer included, by one thread.
CHARACTERS_PER_S = 1.0e6
#: Bytes a second of a checkpoint until it lies durably on a disk.
CHECKPOINT_BYTES_PER_S = 200e6
#: Of each weight: itself and both moments of AdamW, in fp32.
CHECKPOINT_BYTES = 12
#: Starting Python and Slipway's own modules.
START_S = 2.0


def duration(
    *,
    family: str,
    plan: TrainingPlan,
    base_shape: Mapping[str, Any] | None,
    characters: int,
    speed: Mapping[str, Any],
    on_gpu: bool,
    correction: Correction,
) -> Seconds | None:
    """None while the node's speed is not known."""
    if not speed:
        return None
    fixed = {"start": START_S + float(speed.get("import_s", 0))}
    if is_markov(family):
        seconds = markov_seconds(family, plan.spec, plan.dataset_tokens, speed)
        return None if seconds is None else _together(fixed, {"counting": seconds}, 0, correction)
    spec = plan.spec
    assert isinstance(spec, TrainingSpec)
    cost = training_step(spec.plain(), base_shape, speed, on_gpu=on_gpu)
    if cost is None:
        return None
    fixed["data"] = characters / CHARACTERS_PER_S
    if spec.checkpoint_every:
        saves = -(-spec.steps // spec.checkpoint_every)
        size = CHECKPOINT_BYTES * (plan.need.parameters or 0)
        fixed["checkpoints"] = saves * size / CHECKPOINT_BYTES_PER_S
    looks = 1 + (-(-spec.steps // spec.evaluate_every) if spec.evaluate_every else 0)
    computed = {
        "steps": spec.steps * cost.total,
        "evaluations": looks * spec.evaluation_batches * cost.looking,
    }
    return _together(fixed, computed, cost.total, correction)


def _together(
    fixed: Mapping[str, float], computed: Mapping[str, float], step: float, correction: Correction
) -> Seconds:
    """What is computed is corrected by what was measured; the rest is taken as it is."""
    base, work = sum(fixed.values()), sum(computed.values())
    return Seconds(
        likely=base + work * correction.factor,
        low=base + work * correction.low,
        high=base + work * correction.high,
        step=step * correction.factor,
        parts={**fixed, **{name: value * correction.factor for name, value in computed.items()}},
    )
