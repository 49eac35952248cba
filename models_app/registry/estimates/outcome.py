"""An estimate as it is told to people and programs."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _

from models_app.registry.estimates.correction import Correction
from models_app.registry.training_plans import TrainingPlan


class Fit(StrEnum):
    """Whether a node could take the training."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


class EnergyBasis(StrEnum):
    """Where the watts of an estimate of energy come from."""

    MEASURED = "measured"
    GPU_LIMIT = "gpu_limit"
    CONFIGURED = "configured"
    ASSUMED = "assumed"


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """A time with its range; `parts` are seconds by what they go to, as likely."""

    likely: float
    low: float
    high: float
    step: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Kilowatt-hours of the whole training at so many watts."""

    kwh: float
    watts: float
    basis: EnergyBasis


@dataclass(frozen=True, kw_only=True)
class Place:
    """One node: whether the training fits there, why not, and what it takes there.

    `memory_free` and `memory_total` are bytes of the device that computes: of the GPU if one is
    used. `seconds` is None until the node's speed has been measured. `contexts` is how many full
    contexts of the finished model fit there beside its weights, if nothing else is there.
    """

    node: str
    fit: Fit
    reasons: list[str]
    memory_need: int
    memory_free: int | None
    memory_total: int
    on_gpu: bool
    seconds: Seconds | None
    energy: Energy | None
    #: Why there is none; empty where there is.
    no_energy: str
    time_correction: Correction
    memory_correction: Correction
    contexts: int | None


@dataclass(frozen=True, kw_only=True)
class TrainingEstimate:
    """A plan with its places, those first where it fits; figures are those of `best`."""

    plan: TrainingPlan
    places: list[Place]

    @property
    def best(self) -> Place | None:
        """The place that would be taken as things are, if there is any where it fits."""
        return next((place for place in self.places if place.fit != Fit.NEVER), None)

    @property
    def memory(self) -> dict[str, int]:
        """Bytes by purpose, corrected by what was measured at the best place."""
        factor = self.best.memory_correction.factor if self.best else 1.0
        return {name: round(size * factor) for name, size in self.plan.need.bytes.items()}

    @property
    def memory_total(self) -> int:
        """All of them."""
        return sum(self.memory.values())

    @property
    def seconds(self) -> Seconds | None:
        """The time at the best place, with a range that covers every place where it fits."""
        times = [p.seconds for p in self.places if p.fit != Fit.NEVER and p.seconds is not None]
        best = self.best.seconds if self.best else None
        if best is None:
            return None
        return Seconds(
            likely=best.likely,
            low=min(time.low for time in times),
            high=max(time.high for time in times),
            step=best.step,
            parts=best.parts,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        energy = self.best.energy if self.best else None
        return {
            **self.plan.to_dict(),
            "memory": self.memory,
            "memory_bytes": self.memory_total,
            "step_flops": self.plan.need.step_flops,
            "token_flops": self.plan.need.token_flops,
            "serving": asdict(self.plan.need.serving) if self.plan.need.serving else None,
            "seconds": asdict(self.seconds) if self.seconds else None,
            "energy": asdict(energy) if energy else None,
            "no_energy": self.best.no_energy if self.best else _("it fits on no ready node"),
            "nodes": [asdict(place) for place in self.places],
        }
