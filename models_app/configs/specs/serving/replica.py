"""The model servers of a deployment and what each of them may use."""

from typing import Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.base import Spec


class ReplicaSettings(Spec):
    """Replicas and what each of them may use."""

    replicas: int = Field(
        1,
        ge=1,
        le=16,
        title=gettext_noop("Replicas"),
        description=gettext_noop("Model servers that answer side by side."),
    )
    threads: int = Field(
        1,
        ge=1,
        le=256,
        title=gettext_noop("Threads"),
        description=gettext_noop("Processor threads of each replica."),
    )
    max_slots: int = Field(
        16,
        ge=1,
        le=512,
        title=gettext_noop("Requests at once"),
        description=gettext_noop(
            "Sequences that one replica works on at the same time; more wait in line."
        ),
    )
    max_context: int = Field(
        0,
        ge=0,
        le=131_072,
        title=gettext_noop("Longest context"),
        description=gettext_noop(
            "Tokens of prompt and answer together; 0 takes the model's own limit."
        ),
    )
    dtype: Literal["fp32", "bf16"] = Field(
        "fp32",
        title=gettext_noop("Number format"),
        description=gettext_noop("bf16 halves the memory where it is supported."),
    )
    keep_warm_s: int = Field(
        300,
        ge=0,
        le=86_400,
        title=gettext_noop("Keep warm (seconds)"),
        description=gettext_noop(
            "How long replaced replicas stay loaded, so that a roll-back takes seconds."
        ),
    )
