"""The settings of one training of a hidden Markov model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from workers.lm.errors import InvalidTraining
from workers.lm.families.markov import check_numbers

SpaceChoice = Literal["scaled", "log"]

MOST_STATES = 1024

_BOUNDS: dict[str, tuple[float, float]] = {
    "states": (1, MOST_STATES),
    "iterations": (1, 1_000_000),
    "tolerance": (0.0, 1.0),
    "restarts": (1, 1_000),
    "seed": (0, 2**63 - 1),
    "chunk_length": (2, 1_000_000),
    "floor": (1e-12, 1e-2),
}
_FRACTIONS = frozenset({"tolerance", "floor"})


@dataclass(frozen=True, kw_only=True)
class HmmSpec:
    """Everything that decides what comes out of a training, together with its data.

    A restart ends after `iterations` or once one of them gains no more than `tolerance`, in nats a
    token; the best of all `restarts` is kept. Sequences are cut into chunks of `chunk_length`
    tokens that are learned from side by side. No probability falls below `floor`.
    `space` decides whether probabilities are rescaled at every token or kept as logarithms;
    the former is several times faster, the latter is for comparing.
    """

    states: int = 8
    iterations: int = 100
    tolerance: float = 1e-6
    restarts: int = 4
    seed: int = 1337
    chunk_length: int = 256
    floor: float = 1e-6
    space: SpaceChoice = "scaled"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HmmSpec":
        """Build from plain data; an unknown name is refused rather than ignored."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise InvalidTraining(str(name), "There is no such training setting.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as written into facts and checkpoints."""
        return asdict(self)

    def check(self) -> None:
        """Refuse what cannot work, naming the field; needs no data."""
        check_numbers(self, _BOUNDS, _FRACTIONS, InvalidTraining)
        if self.space not in get_args(SpaceChoice):
            raise InvalidTraining("space", f"Choose one of {', '.join(get_args(SpaceChoice))}.")
        if self.floor * self.states >= 0.5:
            raise InvalidTraining(
                "floor", f"Must be less than half of a {self.states}th; got {self.floor}."
            )

    def check_vocabulary(self, vocab_size: int) -> None:
        """Refuse a floor that would take half of the probability of all tokens, or more."""
        if self.floor * vocab_size >= 0.5:
            raise InvalidTraining(
                "floor",
                f"With {vocab_size:,} tokens it must be less than {0.5 / vocab_size:.1e}; "
                f"got {self.floor}.",
            )
