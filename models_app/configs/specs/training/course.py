"""When a training looks, tells, saves, gives up and ends."""

from typing import Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.training.bounds import MOST_STEPS
from models_app.configs.specs.training.learning import LearningSettings


class CourseSettings(LearningSettings):
    """Looks, checkpoints, early stopping, and what becomes of steps that diverge."""

    evaluate_every: int = Field(
        100,
        ge=0,
        le=MOST_STEPS,
        title=gettext_noop("Evaluate every"),
        description=gettext_noop("Steps between looks at the validation loss; 0 only at the end."),
    )
    evaluation_batches: int = Field(
        20,
        ge=1,
        le=1_000_000,
        title=gettext_noop("Evaluation batches"),
        description=gettext_noop("Batches of each such look."),
    )
    checkpoint_every: int = Field(
        200,
        ge=0,
        le=MOST_STEPS,
        title=gettext_noop("Checkpoint every"),
        description=gettext_noop(
            "Steps between checkpoints, from which a broken-off training goes on; 0 never."
        ),
    )
    keep_checkpoints: int = Field(
        3,
        ge=1,
        le=1000,
        title=gettext_noop("Checkpoints kept"),
        description=gettext_noop("Older ones are removed."),
    )
    log_every: int = Field(
        10,
        ge=1,
        le=MOST_STEPS,
        title=gettext_noop("Report every"),
        description=gettext_noop("Steps between chart points."),
    )
    patience: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title=gettext_noop("Patience"),
        description=gettext_noop(
            "Looks at the validation loss in a row without improvement that end the training; 0 "
            "never does."
        ),
    )
    min_improvement: float = Field(
        0.0,
        ge=0.0,
        le=1000.0,
        title=gettext_noop("Least improvement"),
        description=gettext_noop("How far the loss must fall to count as improved."),
    )
    publish: Literal["last", "best"] = Field(
        "last",
        title=gettext_noop("Publish"),
        description=gettext_noop(
            "Which weights the version gets: those of the last step, or of the look with the "
            "lowest validation loss."
        ),
    )
    on_divergence: Literal["stop", "skip", "rewind"] = Field(
        "skip",
        title=gettext_noop("If it diverges"),
        description=gettext_noop(
            "When a loss or gradient is not a finite number, or a loss leaps: stop ends the "
            "training, skip leaves the step's update out, rewind goes back to the newest "
            "checkpoint and on with other data."
        ),
    )
    spike_factor: float = Field(
        0.0,
        ge=0.0,
        le=1e6,
        title=gettext_noop("Spike factor"),
        description=gettext_noop(
            "A loss above so many times the median of the last 32 counts as a leap; 0 looks for "
            "none."
        ),
    )
    divergence_budget: int = Field(
        5,
        ge=0,
        le=1000,
        title=gettext_noop("Divergence budget"),
        description=gettext_noop(
            "How often within 1,000 steps a step may be left out or the training go back; the "
            "next time ends it."
        ),
    )
