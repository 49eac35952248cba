"""What is learned of the text, and in how many of the weights."""

from typing import Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.training.course import CourseSettings


class AdapterSettings(CourseSettings):
    """Sampling, loss, and adapters (LoRA)."""

    sampling: Literal["windows", "epochs", "documents"] = Field(
        "windows",
        title=gettext_noop("Sampling"),
        description=gettext_noop(
            "Random windows of the text, or each window once per epoch in a seeded order. With "
            "documents a sequence is one conversation, each once per epoch."
        ),
    )
    loss_on: Literal["all", "answers"] = Field(
        "all",
        title=gettext_noop("Loss on"),
        description=gettext_noop(
            "all learns every token; answers learns only what assistants say in conversations, "
            "as it is done for instructions."
        ),
    )
    lora_rank: int = Field(
        0,
        ge=0,
        le=4096,
        title=gettext_noop("Adapter rank (LoRA)"),
        description=gettext_noop(
            "0 trains the whole model. Above 0 the base version stays as it is and two small "
            "matrices of this rank are learned for each of its layers; 8 to 64 is usual."
        ),
    )
    lora_alpha: float = Field(
        16.0,
        ge=1e-3,
        le=1e5,
        title=gettext_noop("Adapter scale (alpha)"),
        description=gettext_noop("The adapter's part is multiplied by this divided by the rank."),
    )
    lora_dropout: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title=gettext_noop("Adapter dropout"),
        description=gettext_noop("Share of the adapter's inputs left out."),
    )
    lora_targets: str = Field(
        "all-linear",
        min_length=1,
        max_length=500,
        title=gettext_noop("Adapted layers"),
        description=gettext_noop(
            "all-linear, or names of layers separated by commas, such as q_proj, v_proj."
        ),
    )
