"""How a training computes where its settings leave that to the machine.

Another manner gives other bits. So it is decided once, kept in every checkpoint and among the facts
of the version, and whoever goes on or rebuilds the version computes in the same one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from workers.lm.compute.precision import bf16_pays
from workers.lm.training.spec import TrainSpec


@dataclass(frozen=True, kw_only=True)
class Manner:
    """`precision` is fp32 or bf16; `compiled` is None until it is decided."""

    precision: str
    compiled: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def manner_of(
    spec: TrainSpec, device: torch.device, recorded: Mapping[str, Any] | None = None
) -> Manner:
    """The manner that was recorded, or what the settings and the device make of it."""
    if recorded is not None:
        return Manner(**recorded)
    precision = spec.precision
    if precision == "auto":
        precision = "bf16" if bf16_pays(device) else "fp32"
    return Manner(precision=precision, compiled=False if spec.compile == "off" else None)
