"""What decides an n-gram model or a hidden Markov model, together with its data."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from pydantic import Field, field_validator

from models_app.configs.specs.base import Spec, refuse

LARGEST_VOCABULARY = 262_144
HIGHEST_ORDER = 10

Unit = Literal["word", "char", "letter", "bpe"]


class MarkovSpec(Spec):
    """How text is cut, for both families."""

    unit: Unit = Field(
        "word",
        title=gettext_noop("Unit"),
        description=gettext_noop(
            "word takes words and signs, char characters, letter only a to z and spaces, bpe "
            "pieces of words."
        ),
    )
    lowercase: bool = Field(
        False,
        title=gettext_noop("Lower case"),
        description=gettext_noop("Reads capitals as small letters."),
    )
    vocab_size: int = Field(
        65_536,
        ge=3,
        le=LARGEST_VOCABULARY,
        title=gettext_noop("Vocabulary"),
        description=gettext_noop("At most so many units; the rarest are read as unknown."),
    )
    sentences: Literal["line", "document"] = Field(
        "line",
        title=gettext_noop("Sentence"),
        description=gettext_noop(
            "What begins and ends: each line that is not empty, or each document as a whole."
        ),
    )


class NgramSpec(MarkovSpec):
    """Interpolated modified Kneser-Ney of any order."""

    order: int = Field(
        3,
        ge=1,
        le=HIGHEST_ORDER,
        title=gettext_noop("N-gram order"),
        description=gettext_noop("How many units are looked at together, the next one included."),
    )
    prune: list[int] = Field(
        default_factory=list,
        max_length=HIGHEST_ORDER,
        title=gettext_noop("Prune"),
        description=gettext_noop(
            "For each order the count up to which n-grams are left out, as 0, 0, 1; the last one "
            "holds for all higher orders. Empty leaves out nothing."
        ),
    )

    @field_validator("prune")
    @classmethod
    def _rising(cls, value: list[int]) -> list[int]:
        if any(one < 0 for one in value):
            raise refuse(_("Use whole numbers from 0."))
        if any(low > high for low, high in pairwise(value)):
            raise refuse(_("A higher order cannot leave out less than a lower one. Let it rise."))
        if value and value[0] != 0:
            raise refuse(_("Single units are never left out: begin with 0."))
        return value

    @classmethod
    def effects(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
        words = {
            **dict.fromkeys(("unit", "lowercase", "vocab_size", "sentences"), _other_units()),
            "order": _("Longer contexts count.")
            if new.get("order", 0) > old.get("order", 0)
            else _("Only shorter contexts count."),
            "prune": _("Another number of n-grams is kept."),
        }
        return {name: text for name, text in words.items() if old.get(name) != new.get(name)}

    def warnings(self) -> dict[str, str]:
        if len(self.prune) > self.order:
            return {"prune": _("There are more numbers than orders; the last are not used.")}
        return {}


class HmmSpec(MarkovSpec):
    """A hidden Markov model of units, trained by Baum-Welch."""

    folded: ClassVar[tuple[str, ...]] = (
        "restarts", "chunk_length", "floor", "space", "checkpoint_every",
    )  # fmt: skip

    unit: Unit = Field(
        "char",
        title=gettext_noop("Unit"),
        description=gettext_noop(
            "word takes words and signs, char characters, letter only a to z and spaces, bpe "
            "pieces of words."
        ),
    )
    sentences: Literal["line", "document"] = Field(
        "document",
        title=gettext_noop("Sentence"),
        description=gettext_noop(
            "What begins and ends: each line that is not empty, or each document as a whole."
        ),
    )
    states: int = Field(
        8,
        ge=1,
        le=512,
        title=gettext_noop("States"),
        description=gettext_noop("Hidden states; two of them tell vowels from consonants."),
    )
    iterations: int = Field(
        100,
        ge=1,
        le=100_000,
        title=gettext_noop("Iterations"),
        description=gettext_noop("At most so many passes over the data."),
    )
    tolerance: float = Field(
        1e-5,
        ge=0,
        le=1,
        title=gettext_noop("Tolerance"),
        description=gettext_noop("It ends when a pass gains less than this, in nats per unit."),
    )
    restarts: int = Field(
        1,
        ge=1,
        le=100,
        title=gettext_noop("Starts"),
        description=gettext_noop("Begins this often from other random numbers; the best is kept."),
    )
    chunk_length: int = Field(
        256,
        ge=2,
        le=65_536,
        title=gettext_noop("Chunk"),
        description=gettext_noop("Longer sentences are cut into sequences of this many units."),
    )
    floor: float = Field(
        1e-7,
        ge=1e-12,
        le=1e-3,
        title=gettext_noop("Floor"),
        description=gettext_noop("No probability falls below this, so nothing is impossible."),
    )
    space: Literal["scaled", "log"] = Field(
        "scaled",
        title=gettext_noop("Arithmetic"),
        description=gettext_noop("scaled is faster; log cannot run out of small numbers."),
    )
    checkpoint_every: int = Field(
        10,
        ge=0,
        le=100_000,
        title=gettext_noop("Checkpoint every"),
        description=gettext_noop(
            "Iterations between checkpoints, from which a broken-off training goes on; 0 never."
        ),
    )
    seed: int = Field(
        1337,
        ge=0,
        le=2**63 - 1,
        title=gettext_noop("Seed"),
        description=gettext_noop("The same seed, data and settings give the same weights."),
    )

    @classmethod
    def effects(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
        words = {
            **dict.fromkeys(("unit", "lowercase", "vocab_size", "sentences"), _other_units()),
            "states": _("Another shape of model."),
            "seed": _("Other weights at the start."),
            **dict.fromkeys(
                ("iterations", "tolerance", "restarts", "chunk_length", "floor"),
                _("Other weights at the end."),
            ),
            "space": _("Other rounding, another speed."),
            "checkpoint_every": _("The same weights; something else is reported or kept."),
        }
        return {name: text for name, text in words.items() if old.get(name) != new.get(name)}


def _other_units() -> str:
    return _("Other units: figures per unit cannot be compared, bits per byte can.")
