"""The learning rate of every step."""

import math

from workers.lm.training.spec import TrainSpec


def learning_rate_at(spec: TrainSpec, step: int) -> float:
    """The rate of the zero-based `step`: a linear warm-up, the chosen descent, then its end."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / (spec.warmup_steps + 1)
    if spec.schedule == "constant":
        return spec.learning_rate
    length = spec.schedule_steps or spec.steps
    done = min(1.0, (step - spec.warmup_steps) / max(1, length - spec.warmup_steps))
    share = 1.0 - done if spec.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return spec.min_learning_rate + share * (spec.learning_rate - spec.min_learning_rate)
