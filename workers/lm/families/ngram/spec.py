"""The settings of one n-gram training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from workers.lm.errors import InvalidTraining
from workers.lm.families.markov import check_numbers

LARGEST_ORDER = 10
LARGEST_VOCABULARY = 4_194_304
_LARGEST_THRESHOLD = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """How many token ids there are and which of them have a part of their own.

    `begin` only ever stands before a sequence and has no probability; None: there is no such id,
    and sequences begin all the same. `end` closes a sequence; whatever follows it begins anew.
    `unknown` stands for tokens that training did not see.
    """

    size: int
    begin: int | None = None
    end: int | None = None
    unknown: int | None = None

    def check(self) -> None:
        """Refuse ids that are out of range or have two parts."""
        check_numbers(self, {"size": (1, LARGEST_VOCABULARY)}, frozenset(), InvalidTraining)
        parts = {name: getattr(self, name) for name in ("begin", "end", "unknown")}
        seen: dict[int, str] = {}
        for name, token in parts.items():
            if token is None:
                continue
            check_numbers(self, {name: (0, self.size - 1)}, frozenset(), InvalidTraining)
            if token in seen:
                raise InvalidTraining(name, f"The id {token} is {seen[token]} already.")
            seen[token] = name


@dataclass(frozen=True, kw_only=True)
class NgramSpec:
    """Everything that decides what comes out of a training, together with its data.

    `prune` leaves out n-grams that occur as often as their order's threshold or less; the first
    is for single tokens and must be 0, the last one holds for all longer n-grams.
    `discount_fallback` replaces the discounts of an order for 1, 2, 3 or more occurrences where
    the text is too small or too regular to estimate them; None: refuse such a text.
    """

    order: int = 5
    prune: tuple[int, ...] = ()
    discount_fallback: tuple[float, float, float] | None = (0.5, 1.0, 1.5)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NgramSpec":
        """Build from plain data; an unknown name is refused rather than ignored."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise InvalidTraining(str(name), "There is no such training setting.")
        lists: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**lists)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as written into facts."""
        return asdict(self)

    @property
    def thresholds(self) -> tuple[int, ...]:
        """One threshold for each order."""
        given = self.prune or (0,)
        return given + (given[-1],) * (self.order - len(given))

    def check(self) -> None:
        """Refuse what cannot work, naming the field; needs no data."""
        check_numbers(self, {"order": (1, LARGEST_ORDER)}, frozenset(), InvalidTraining)
        _check_prune(self.prune, self.order)
        _check_fallback(self.discount_fallback)


def _check_prune(prune: Any, order: int) -> None:
    if not isinstance(prune, tuple) or not all(_is_threshold(value) for value in prune):
        raise InvalidTraining(
            "prune", f"Must be whole numbers from 0 to {_LARGEST_THRESHOLD:,}, one an order."
        )
    if len(prune) > order:
        raise InvalidTraining("prune", f"Has {len(prune)} thresholds for {order} orders.")
    if prune and prune[0]:
        raise InvalidTraining(
            "prune", "The first threshold must be 0; to have fewer tokens, shrink the vocabulary."
        )
    if list(prune) != sorted(prune):
        raise InvalidTraining("prune", "A longer n-gram's threshold must not be smaller.")


def _is_threshold(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_THRESHOLD


def _check_fallback(fallback: Any) -> None:
    if fallback is None:
        return
    if not isinstance(fallback, tuple) or len(fallback) != 3:
        raise InvalidTraining(
            "discount_fallback", "Must be three numbers, for 1, 2 and 3 or more occurrences."
        )
    for times, value in enumerate(fallback, start=1):
        if type(value) not in (int, float) or not 0 < value <= times:
            raise InvalidTraining(
                "discount_fallback",
                f"The discount for {times} must be more than 0, up to {times}; got {value}.",
            )
