"""How a training learns."""

from typing import Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.training.bounds import MOST_STEPS
from models_app.configs.specs.training.shape import ShapeSettings


class LearningSettings(ShapeSettings):
    """Batches, steps, learning rate and the optimiser."""

    batch_size: int = Field(
        16,
        ge=1,
        le=65_536,
        title=gettext_noop("Batch size"),
        description=gettext_noop("Sequences of one optimiser step."),
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=65_536,
        title=gettext_noop("Gradient accumulation"),
        description=gettext_noop(
            "Cuts the batch into this many equal parts: less memory, the same result."
        ),
    )
    steps: int = Field(
        1000,
        ge=1,
        le=MOST_STEPS,
        title=gettext_noop("Steps"),
        description=gettext_noop("Optimiser steps of the training."),
    )
    learning_rate: float = Field(
        1e-3,
        ge=1e-9,
        le=10.0,
        title=gettext_noop("Learning rate"),
        description=gettext_noop("The highest one, after warm-up."),
    )
    min_learning_rate: float = Field(
        1e-4,
        ge=0.0,
        le=10.0,
        title=gettext_noop("Lowest learning rate"),
        description=gettext_noop("Where the schedule ends; not above the learning rate."),
    )
    warmup_steps: int = Field(
        100,
        ge=0,
        le=MOST_STEPS,
        title=gettext_noop("Warm-up steps"),
        description=gettext_noop("Steps in which the learning rate rises from zero."),
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine",
        title=gettext_noop("Schedule"),
        description=gettext_noop("How the learning rate falls after warm-up."),
    )
    schedule_steps: int | None = Field(
        None,
        ge=1,
        le=MOST_STEPS,
        title=gettext_noop("Schedule steps"),
        description=gettext_noop(
            "Steps that the schedule takes, all of them if empty; those behind its end run "
            "at the lowest rate."
        ),
    )
    weight_decay: float = Field(
        0.1,
        ge=0.0,
        le=10.0,
        title=gettext_noop("Weight decay"),
        description=gettext_noop("Pulls the weights towards zero."),
    )
    beta1: float = Field(
        0.9,
        ge=0.0,
        le=0.99999,
        title=gettext_noop("Beta 1"),
        description=gettext_noop("Memory of AdamW for gradients."),
    )
    beta2: float = Field(
        0.99,
        ge=0.0,
        le=0.99999,
        title=gettext_noop("Beta 2"),
        description=gettext_noop("Memory of AdamW for their squares."),
    )
    gradient_clip: float = Field(
        1.0,
        ge=0.0,
        le=1e6,
        title=gettext_noop("Gradient clip"),
        description=gettext_noop("Longest gradient; 0 clips nothing."),
    )
    dropout: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title=gettext_noop("Dropout"),
        description=gettext_noop("Share of activations left out."),
    )
    seed: int = Field(
        1337,
        ge=0,
        le=2**63 - 1,
        title=gettext_noop("Seed"),
        description=gettext_noop("The same seed, data and settings give the same weights."),
    )
