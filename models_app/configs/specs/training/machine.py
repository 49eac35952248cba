"""On what and how a training computes."""

from typing import Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.training.adapter import AdapterSettings


class MachineSettings(AdapterSettings):
    """Threads, precision, processes, and what is traded for memory."""

    threads: int = Field(
        1,
        ge=1,
        le=1024,
        title=gettext_noop("Threads"),
        description=gettext_noop("Processor threads of the training."),
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32",
        title=gettext_noop("Precision"),
        description=gettext_noop(
            "bf16 is faster only where the processor has it; auto takes it there."
        ),
    )
    processes: int = Field(
        1,
        ge=1,
        le=1024,
        title=gettext_noop("Processes"),
        description=gettext_noop(
            "Processes that train together, each with its own threads or GPU; on all nodes."
        ),
    )
    parallel: Literal["ddp", "fsdp", "tensor"] = Field(
        "ddp",
        title=gettext_noop("What processes share"),
        description=gettext_noop(
            "ddp shares the batch, fsdp the batch and the weights (less memory), tensor every "
            "layer."
        ),
    )
    nodes: int = Field(
        1,
        ge=1,
        le=1024,
        title=gettext_noop("Nodes"),
        description=gettext_noop(
            "Nodes that the processes are spread over evenly; more than one needs a pool with a "
            "private network."
        ),
    )
    activation_checkpointing: bool = Field(
        False,
        title=gettext_noop("Recompute activations"),
        description=gettext_noop(
            "Keeps only what enters each layer: far less memory, about a third more time, the "
            "same result."
        ),
    )
    checkpoint_in_background: Literal["auto", "on", "off"] = Field(
        "auto",
        title=gettext_noop("Checkpoints in the background"),
        description=gettext_noop(
            "Writes checkpoints beside the training, from a copy in memory. auto does so on a GPU."
        ),
    )
    compile: Literal["auto", "on", "off"] = Field(
        "off",
        title=gettext_noop("Compile"),
        description=gettext_noop(
            "Translates the model by torch.compile. auto tries on the node whether that is faster "
            "by more than it takes."
        ),
    )
