"""Whether a sweep can work, before anything of it starts: every corner of its space is tried.

Errors name the setting in the space (`space.learning_rate`), or `config.…` for one that is fixed.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from django.utils.translation import gettext as _

from models_app.configs.comparison import value_text
from models_app.configs.specs import Spec, spec_class
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, InvalidInput
from models_app.core.names import one_of
from models_app.core.validation import parse
from models_app.datasets.models import DatasetVersion
from models_app.registry.families import spec_kind
from models_app.registry.models import Model, ModelVersion
from models_app.registry.services import training_plan
from models_app.sweeps.halving import rungs
from models_app.sweeps.measures import RESOURCES, UNITS, is_loss, measures_of, usual_measure
from models_app.sweeps.space import Space, corner_count, corners
from models_app.sweeps.states import Strategy

MOST_TRIALS, MOST_PARALLEL, MOST_CORNERS = 1000, 64, 4096
#: Corners that are also compared with the data and the memory of the nodes.
PLANNED = 16
#: Where nothing is said, one in so many goes on.
USUAL_FACTOR = 3


@dataclass(frozen=True, kw_only=True)
class Halving:
    """What was asked of early stopping; None is left to us."""

    min_resource: int | None = None
    max_resource: int | None = None
    reduction_factor: int = USUAL_FACTOR


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a sweep is made of, with everything that was left open filled in."""

    base: Spec
    metric: str
    max_trials: int
    min_resource: int | None
    reduction_factor: int | None


def whole_settings(kind: str) -> dict[str, bool]:
    """Setting -> whether it takes whole numbers; only settings that are numbers."""
    found = {}
    for name, field in spec_class(kind).model_fields.items():
        types = {field.annotation, *get_args(field.annotation)}
        if types & {int, float} and bool not in types and list not in types:
            found[name] = float not in types
    return found


def sweep_checked(
    *,
    actor: Actor,
    model: Model,
    data: DatasetVersion,
    base: Mapping[str, Any],
    base_version: ModelVersion | None,
    space: Space,
    strategy: str,
    metric: str,
    halving: Halving | None,
    max_trials: int,
) -> Checked:
    """Raises InvalidInput with everything that is wrong of what was looked at together."""
    kind = spec_kind(model.family)
    if strategy not in Strategy.values:
        raise FieldError("strategy", one_of(Strategy.values))
    metric = metric or usual_measure(kind, halving is not None)
    if metric not in measures_of(kind):
        raise FieldError("metric", one_of(measures_of(kind)))
    _refuse(_settings(kind, space, metric) | _early(kind, space, metric, halving))
    count = _trials(space, strategy, max_trials, whole_settings(kind))
    values = dict(base)
    if halving is not None and halving.max_resource is not None:
        values[RESOURCES[kind]] = halving.max_resource
    fixed = _corners_parsed(kind, values, space)
    least, factor = _rungs(kind, metric, fixed, halving) if halving else (None, None)
    _corners_planned(actor, model, data, base_version, fixed, space)
    return Checked(
        base=fixed, metric=metric, max_trials=count, min_resource=least, reduction_factor=factor
    )


def _refuse(errors: Mapping[str, str | list[str]]) -> None:
    if errors:
        raise InvalidInput(errors)


def _settings(kind: str, space: Space, metric: str) -> dict[str, str]:
    """Settings that there are not, that cannot be a range, or over which nothing compares."""
    known, numbers = spec_class(kind).model_fields, whole_settings(kind)
    errors = {}
    for name, one in space.items():
        if name not in known:
            errors[f"space.{name}"] = _unknown(name, list(known))
        elif name in UNITS and is_loss(metric):
            errors[f"space.{name}"] = _(
                "Losses are told per token, and this changes what a token is: they do not compare. "
                "Keep it fixed, or make a sweep for each value."
            )
        elif one.values is None and name not in numbers:
            errors[f"space.{name}"] = _("It is no number, so it has no range. Use “values”.")
        elif one.values is None and numbers[name] and not _is_whole(one):
            errors[f"space.{name}"] = _("It takes whole numbers: so must its range and step be.")
    return errors


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return _("There is no such setting. Did you mean %(near)s?") % {"near": near[0]}
    return _("There is no such setting. There are: %(known)s.") % {"known": ", ".join(known)}


def _is_whole(one: Any) -> bool:
    return all(float(part).is_integer() for part in (one.low, one.high, one.step or 1))


def _early(kind: str, space: Space, metric: str, halving: Halving | None) -> dict[str, str]:
    """Why nothing can be stopped early, if so."""
    if halving is None:
        return {}
    if kind not in RESOURCES:
        said = _(
            "An n-gram model is counted at one go: it has no steps at which it could be stopped. "
            "Leave this out; grid, random and tpe work without it."
        )
        return {"early_stopping": said}
    measure = measures_of(kind)[metric]
    if not measure.along:
        known = ", ".join(name for name, one in measures_of(kind).items() if one.along)
        said = _(
            "%(metric)s is known only at the end, so nothing can be stopped by it. Use %(known)s."
        )
        return {"metric": said % {"metric": metric, "known": known}}
    fixed = (RESOURCES[kind], measure.every, "restarts", "schedule_steps")
    said = _("With early stopping all trials are looked at after the same steps: keep this fixed.")
    errors = {f"space.{name}": said for name in fixed if name in space}
    if halving.reduction_factor < 2:
        errors["early_stopping.reduction_factor"] = _("Use 2 or more: one in so many goes on.")
    for name in ("min_resource", "max_resource"):
        value = getattr(halving, name)
        if value is not None and value < 1:
            errors[f"early_stopping.{name}"] = _("Use 1 or more.")
    return errors


def _trials(space: Space, strategy: str, most: int, whole: Mapping[str, bool]) -> int:
    """How many trials there will be at most."""
    if not 1 <= most <= MOST_TRIALS:
        raise FieldError(
            "max_trials", _("Use a number from 1 to %(most)s.") % {"most": MOST_TRIALS}
        )
    if strategy != Strategy.GRID:
        said = _("Only a grid is divided into points. Remove it.")
        _refuse({f"space.{name}.points": said for name, one in space.items() if one.points})
        return most
    said = _("A grid needs to know which values: say “values”, “step” or “points”.")
    sizes = {name: one.grid(whole.get(name, False)) for name, one in space.items()}
    _refuse({f"space.{name}": said for name, found in sizes.items() if found is None})
    count = math.prod(len(found or ()) for found in sizes.values())
    if count > most:
        said = _("The grid has %(count)s points, more than the %(most)s trials allowed. ")
        said += _("Allow more, or use fewer values.")
        raise FieldError("max_trials", said % {"count": f"{count:,}", "most": f"{most:,}"})
    return count


def _rungs(kind: str, metric: str, spec: Spec, halving: Halving) -> tuple[int, int]:
    """Steps of the first rung and the factor. Raises FieldError where there would be no rung."""
    most = int(getattr(spec, RESOURCES[kind]))
    if getattr(spec, "restarts", 1) > 1:
        said = _("With several starts iterations do not compare. Use 1 with early stopping.")
        raise FieldError("config.restarts", said)
    every = _reported_every(kind, metric, spec)
    least = every if halving.min_resource is None else halving.min_resource
    if least % every:
        said = _("%(metric)s is reported every %(every)s steps: use a multiple of that.")
        words = {"metric": metric, "every": every}
        raise FieldError("early_stopping.min_resource", said % words)
    if not rungs(least, most, halving.reduction_factor):
        said = _("A trial has %(most)s %(unit)s, so nothing could be stopped. Use less than that.")
        words = {"most": f"{most:,}", "unit": RESOURCES[kind]}
        raise FieldError("early_stopping.min_resource", said % words)
    return least, halving.reduction_factor


def _reported_every(kind: str, metric: str, spec: Spec) -> int:
    setting = measures_of(kind)[metric].every
    if not setting:
        return 1
    every = int(getattr(spec, setting))
    if every == 0:
        said = _("%(metric)s is reported only at the end. Say how often, for early stopping.")
        raise FieldError(f"config.{setting}", said % {"metric": metric})
    return every


def _corners_parsed(kind: str, base: Mapping[str, Any], space: Space) -> Spec:
    """The specification at the first corner, once all corners were found to be valid."""
    count = corner_count(space)
    if count > MOST_CORNERS:
        said = _("The space has %(count)s corners; at most %(most)s can be checked. Vary less.")
        raise FieldError("space", said % {"count": f"{count:,}", "most": f"{MOST_CORNERS:,}"})
    wrong, first = _Wrong(), None
    for corner in corners(space):
        try:
            spec = parse(spec_class(kind), {**base, **corner}, prefix="config")
        except InvalidInput as error:
            wrong.add(error, corner)
        else:
            first = first or spec
    _refuse(wrong.placed(count))
    assert first is not None
    return first


def _corners_planned(
    actor: Actor, model: Model, data: DatasetVersion, base_version: ModelVersion | None,
    base: Spec, space: Space,
) -> None:  # fmt: skip
    """Data and memory, at some corners spread over all, the last one always among them."""
    apart = max(1, math.ceil(corner_count(space) / PLANNED))
    planned, wrong = list(corners(space))[::-1][::apart], _Wrong()
    for corner in planned:
        try:
            training_plan(
                actor=actor, team=model.team, dataset_version=data, base_version=base_version,
                spec={**base.plain(), **corner}, family=model.family,
            )  # fmt: skip
        except InvalidInput as error:
            wrong.add(error, corner)
    _refuse(wrong.placed(len(planned)))


class _Wrong:
    """What was found wrong at which corners."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}

    def add(self, error: InvalidInput, corner: Mapping[str, Any]) -> None:
        """Note what is wrong there."""
        for path, texts in error.errors.items():
            for text in texts:
                self._found.setdefault((path, text), []).append(corner)

    def placed(self, count: int) -> dict[str, str | list[str]]:
        """One sentence a field: beside the setting that varies, saying at which values.

        What is wrong at all `count` corners is not for the values that vary.
        """
        errors: dict[str, str | list[str]] = {}
        for (path, text), found in self._found.items():
            where, said = _placed(path, text, found[0], everywhere=len(found) == count)
            errors.setdefault(where, said)
        return errors


def _placed(
    path: str, text: str, corner: Mapping[str, Any], *, everywhere: bool
) -> tuple[str, str]:
    top = path.removeprefix("config.").split(".")[0]
    if not path.startswith("config.") or (everywhere and top not in corner):
        return path, text
    at = ", ".join(f"{name} = {value_text(value)}" for name, value in corner.items())
    said = _("With %(values)s: %(text)s") % {"values": at, "text": text}
    return (f"space.{top}" if top in corner else path), said
