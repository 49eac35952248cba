"""Ready-made model shapes that forms offer, and how much memory a training of one needs.

The domain knows no shape of its own: whoever can train registers the table at start.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A shape of model with the vocabulary and the context it is meant for."""

    name: str
    label: str
    parameters: int
    vocab_size: int
    sequence_length: int
    architecture: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What serving the finished model takes in 32 bit, in bytes; bf16 halves all but `overhead`.

    `context_bytes` are the keys and values of one sequence that fills the whole `context`.
    """

    weights: int
    overhead: int
    context: int
    context_bytes: int

    def contexts(self, memory: int) -> int:
        """How many full contexts fit into so much memory beside the weights."""
        left = memory - self.weights - self.overhead
        return max(0, left // max(1, self.context_bytes))


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a training of some settings takes: parameters, and bytes of memory by purpose."""

    #: None where only the data decides it.
    parameters: int | None
    bytes: Mapping[str, int]
    #: Floating point operations of one step, and of one token; None where nothing is multiplied.
    step_flops: float | None = None
    token_flops: float | None = None
    #: None for models that keep no keys and values.
    serving: Serving | None = None

    @property
    def total(self) -> int:
        """All bytes together."""
        return sum(self.bytes.values())


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Seconds of one optimiser step by what they go to, and of one batch only looked at."""

    seconds: Mapping[str, float]
    looking: float

    @property
    def total(self) -> float:
        """The whole step."""
        return sum(self.seconds.values())


#: Settings of a training and, for one that goes on from a base version, that one's shape.
Estimator = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Need]
#: The same, the measured speed of a node, and whether its GPU is used. None: it was not measured.
Timer = Callable[
    [Mapping[str, Any], Mapping[str, Any] | None, Mapping[str, Any], bool], StepCost | None
]

_presets: dict[str, Preset] = {}
_estimators: list[Estimator] = []
_timers: list[Timer] = []


def register(*presets: Preset, estimator: Estimator, timer: Timer) -> None:
    """Offer shapes, and the functions that size and time a training of them.

    A name given twice raises.
    """
    for preset in presets:
        if preset.name in _presets:
            raise RuntimeError(f"two presets are called {preset.name!r}")
        _presets[preset.name] = preset
    _estimators[:] = [estimator]
    _timers[:] = [timer]


def preset_list() -> list[Preset]:
    """All shapes, smallest first."""
    return sorted(_presets.values(), key=lambda preset: (preset.parameters, preset.name))


def preset_get(name: str) -> Preset:
    """One shape, or FieldError naming the known ones."""
    try:
        return _presets[name]
    except KeyError:
        known = ", ".join(_presets) or _("none")
        said = _("There is no preset %(name)r. Known: %(known)s.")
        raise FieldError("preset", said % {"name": name, "known": known}) from None


def training_need(
    spec: Mapping[str, Any], base_architecture: Mapping[str, Any] | None = None
) -> Need:
    """Memory and parameters of a training, or FieldError where the settings have no shape."""
    if not _estimators:
        said = _("This installation cannot train: no shapes are registered.")
        raise FieldError("preset", said)
    return _estimators[0](spec, base_architecture)


def training_step(
    spec: Mapping[str, Any],
    base_architecture: Mapping[str, Any] | None,
    speed: Mapping[str, Any],
    *,
    on_gpu: bool = False,
) -> StepCost | None:
    """Seconds of one step of a training on a node of this speed; None: it was not measured."""
    return _timers[0](spec, base_architecture, speed, on_gpu) if _timers and speed else None
