"""What people see of a training while it runs."""

from typing import Annotated

from django.utils.translation import gettext_noop
from pydantic import Field, StringConstraints

from models_app.configs.specs.training.machine import MachineSettings

Prompt = Annotated[str, StringConstraints(max_length=1000)]


class WatchingSettings(MachineSettings):
    """Texts that the model writes at each look."""

    sample_prompts: list[Prompt] = Field(
        [""],
        max_length=8,
        title=gettext_noop("Sample prompts"),
        description=gettext_noop(
            "Texts that the model continues at each look at the validation loss, for people to "
            "read; an empty one begins a document. Without any nothing is written."
        ),
    )
    sample_tokens: int = Field(
        64,
        ge=1,
        le=512,
        title=gettext_noop("Sample tokens"),
        description=gettext_noop("How many tokens each sample may have."),
    )
