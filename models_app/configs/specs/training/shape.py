"""What model is trained, and on what text."""

from typing import Any, Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.base import Spec


class ShapeSettings(Spec):
    """Shape, tokenizer, and what is learned of the documents."""

    preset: str | None = Field(
        None,
        max_length=63,
        title=gettext_noop("Preset"),
        description=gettext_noop(
            "A ready-made shape. Leave empty with an architecture or a base version."
        ),
    )
    architecture: dict[str, Any] | None = Field(
        None,
        title=gettext_noop("Architecture"),
        description=gettext_noop(
            "A transformers configuration (model_type and sizes) instead of a preset."
        ),
    )
    tokenizer: Literal["bpe", "char", "base"] = Field(
        "bpe",
        title=gettext_noop("Tokenizer"),
        description=gettext_noop(
            "bpe learns pieces of words, char takes characters, base keeps the base's."
        ),
    )
    vocab_size: int = Field(
        4096,
        ge=2,
        le=262_144,
        title=gettext_noop("Vocabulary"),
        description=gettext_noop("How many tokens the tokenizer may learn."),
    )
    sequence_length: int = Field(
        256,
        ge=2,
        le=131_072,
        title=gettext_noop("Sequence length"),
        description=gettext_noop(
            "Tokens that the model sees at once; also its longest context when it serves."
        ),
    )
