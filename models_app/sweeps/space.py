"""The space of a sweep: for each setting that varies, its values or its range."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import InitErrorDetails, ValidationError

from models_app.configs.specs.base import refuse
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse

MOST_SETTINGS, MOST_VALUES = 12, 100
#: Numbers beyond this are no setting's, and would overflow somewhere.
LARGEST, SMALLEST = 10**15, 1e-12
#: Digits that are kept of a number that was drawn.
DIGITS = 4


class Dimension(BaseModel):
    """One setting: `values` to choose from, or a range from `low` to `high`, both included.

    `log` spreads a range by factors; `step` takes every so-manieth number; `points` says into how
    many a grid divides it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    values: list[Any] | None = Field(None, min_length=1, max_length=MOST_VALUES)
    low: int | float | None = Field(None, ge=-LARGEST, le=LARGEST)
    high: int | float | None = Field(None, ge=-LARGEST, le=LARGEST)
    log: bool = False
    step: int | float | None = Field(None, ge=SMALLEST, le=LARGEST)
    points: int | None = Field(None, ge=2, le=MOST_VALUES)

    @model_validator(mode="after")
    def _fits_together(self) -> "Dimension":
        details = [
            InitErrorDetails(type=refuse(text), loc=(name,) if name else (), input=None)
            for name, text in _checks(self)
        ]
        if details:
            raise ValidationError.from_exception_data("Dimension", details)
        return self

    def plain(self) -> dict[str, Any]:
        """What was said of it, as JSON."""
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if value is not None and value is not False
        }

    @property
    def low_high(self) -> tuple[float, float]:
        """The bounds of a range; the upper one is the last that `step` reaches."""
        assert self.low is not None and self.high is not None
        if self.step is None:
            return self.low, self.high
        steps = math.floor((self.high - self.low) / self.step + 1e-9)
        return self.low, tidy(self.low + steps * self.step)

    def extremes(self) -> list[Any]:
        """Every value, or the two ends of a range."""
        return list(self.values) if self.values is not None else [self.low, self.high]

    def grid(self, whole: bool) -> list[Any] | None:
        """The values that a grid takes of it, `whole` numbers or not; None: nobody said how many.

        A range of whole numbers without `step` and `points` is taken number by number.
        """
        if self.values is not None:
            return list(self.values)
        low, high = self.low_high
        if self.points is not None:
            found = [_between(low, high, n / (self.points - 1), self.log)
                     for n in range(self.points)]  # fmt: skip
            return list(dict.fromkeys(round(value) if whole else value for value in found))
        step = self.step or (1 if whole else None)
        if step is None:
            return None
        count = math.floor((high - low) / step + 1e-9) + 1
        if count > MOST_VALUES:
            return None
        return [round(low + n * step) if whole else tidy(low + n * step) for n in range(count)]


Space = dict[str, Dimension]


def space_read(given: Any, prefix: str = "space") -> Space:
    """The typed space. Raises InvalidInput with the path of everything that is wrong by itself."""
    if not isinstance(given, Mapping) or not given:
        said = _("Say which settings vary, for instance learning_rate: {low: …, high: …}.")
        raise InvalidInput({prefix: said})
    if len(given) > MOST_SETTINGS:
        said = _("At most %(most)s settings can vary at the same time.")
        raise InvalidInput({prefix: said % {"most": MOST_SETTINGS}})
    found: Space = {}
    errors: dict[str, str | list[str]] = {}
    for name, one in given.items():
        try:
            found[str(name)] = parse(Dimension, one, prefix=f"{prefix}.{name}")
        except InvalidInput as error:
            errors |= error.errors
    if errors:
        raise InvalidInput(errors)
    return found


def space_plain(space: Space) -> dict[str, Any]:
    """The space as it is stored."""
    return {name: one.plain() for name, one in space.items()}


def corners(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of the extremes."""
    names = list(space)
    for values in itertools.product(*(one.extremes() for one in space.values())):
        yield dict(zip(names, values, strict=True))


def corner_count(space: Space) -> int:
    """How many there are."""
    return math.prod(len(one.extremes()) for one in space.values())


def grid_points(space: Space, whole: Mapping[str, bool]) -> Iterator[dict[str, Any]]:
    """Every combination of the values that a grid takes, the last setting fastest."""
    values = [one.grid(whole.get(name, False)) or [] for name, one in space.items()]
    for point in itertools.product(*values):
        yield dict(zip(space, point, strict=True))


def tidy(value: float) -> float:
    """Without the noise of binary fractions."""
    return float(f"{value:.12g}")


def rounded(value: float, low: float, high: float) -> float:
    """To a few digits, so that people can read it, and still within the bounds."""
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)


def _between(low: float, high: float, share: float, log: bool) -> float:
    if share in (0.0, 1.0):
        return high if share else low
    if log:
        return rounded(low * (high / low) ** share, low, high)
    return tidy(low + (high - low) * share)


def _checks(one: Dimension) -> Iterator[tuple[str, str]]:
    is_range = one.low is not None or one.high is not None
    if (one.values is not None) == is_range:
        yield "", _("Say either “values” or a range by “low” and “high”.")
        return
    if one.values is not None:
        if len({repr(value) for value in one.values}) < len(one.values):
            yield "values", _("Say each value once.")
        for name in ("log", "step", "points"):
            if getattr(one, name):
                yield name, _("Only a range has this. Remove it.")
        return
    for name in ("low", "high"):
        if getattr(one, name) is None:
            yield name, _("A range needs both ends.")
            return
    yield from _range_checks(one)


def _range_checks(one: Dimension) -> Iterator[tuple[str, str]]:
    assert one.low is not None and one.high is not None
    if one.low >= one.high:
        said = _("The range is the wrong way round or empty: use more than %(low)s.")
        yield "high", said % {"low": f"{one.low:g}"}
        return
    if one.log and one.low <= 0:
        yield "low", _("A logarithmic range begins above 0, for instance at 0.00001.")
    if one.log and one.step is not None:
        yield (
            "step",
            _("A logarithmic range has no steps. Use “points” in a grid, or leave it out."),
        )
    if one.points is not None and one.step is not None:
        yield "points", _("Say either “step” or “points”.")
    if one.step is not None and one.step > one.high - one.low:
        yield "step", _("The step is larger than the range.")
