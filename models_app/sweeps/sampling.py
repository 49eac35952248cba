"""Which settings the next trial takes: from the rows of the sweep alone, so anybody may decide it.

Optuna chooses, in a study that is built in memory from the rows for this one question and then
forgotten: our tables are the only record. The same rows and seed give the same choice. Only the
worker asks; the web process knows nothing of it.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from models_app.core.digests import canonical_json
from models_app.sweeps.checking import whole_settings
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.space import Space, grid_points, rounded, space_read, tidy
from models_app.sweeps.states import TRIAL_OPEN, Strategy, TrialState

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

#: How often settings are drawn that were tried already, before there seem to be no others.
TRIES = 100
#: Trials of TPE that are drawn at random at first.
AT_RANDOM = 8


def next_values(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Settings that no trial has had, or None: there are no others."""
    space, whole = space_read(sweep.space), whole_settings(sweep.kind)
    if sweep.strategy == Strategy.GRID:
        return _of_grid(sweep, space, whole, len(trials))
    tried = {canonical_json(trial.values) for trial in trials}
    draw = _Drawing(sweep, trials, space, whole)
    for attempt in range(TRIES):
        found = draw(len(trials) + 1, attempt)
        if canonical_json(found) not in tried:
            return found
    return None


def _of_grid(
    sweep: Sweep, space: Space, whole: Mapping[str, bool], place: int
) -> dict[str, Any] | None:
    """The points in an order of the seed's, so that the first ones lie all over the grid."""
    points = list(grid_points(space, whole))
    random.Random(sweep.seed).shuffle(points)
    return next(islice(points, place, None), None)


class _Drawing:
    """Settings drawn at random, or by what earlier trials have shown (TPE)."""

    def __init__(
        self, sweep: Sweep, trials: Sequence[Trial], space: Space, whole: Mapping[str, bool]
    ) -> None:
        self._sweep, self._space = sweep, space
        self._distributions = {
            name: _distribution(space, name, whole.get(name, False)) for name in space
        }
        self._past: list[FrozenTrial] = []
        if sweep.strategy == Strategy.TPE:
            worst = _worst(sweep, trials)
            self._past = [self._frozen(trial, worst) for trial in trials]

    def __call__(self, number: int, attempt: int) -> dict[str, Any]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        seed = _seed(self._sweep.seed, number, attempt)
        sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
        if self._sweep.strategy == Strategy.TPE:
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=AT_RANDOM, constant_liar=True
            )
        lower = self._sweep.measure.lower_is_better
        study = optuna.create_study(sampler=sampler, direction="minimize" if lower else "maximize")
        for trial in self._past:
            study.add_trial(trial)
        drawn = study.ask(self._distributions).params
        return {name: self._value(name, drawn[name]) for name in self._space}

    def _value(self, name: str, drawn: Any) -> Any:
        one = self._space[name]
        if one.values is not None:
            return one.values[drawn]
        if isinstance(drawn, int):
            return drawn
        return tidy(drawn) if one.step else rounded(drawn, *one.low_high)

    def _frozen(self, trial: Trial, worst: float | None) -> "FrozenTrial":
        """A row as Optuna's samplers know trials."""
        from optuna.trial import TrialState as State
        from optuna.trial import create_trial

        more: dict[str, Any] = {"state": State.FAIL}
        if trial.state in TRIAL_OPEN:
            more = {"state": State.RUNNING}
        elif trial.state == TrialState.DONE and trial.value is not None:
            more = {"state": State.COMPLETE, "value": trial.value}
        elif trial.state == TrialState.STOPPED and trial.rungs:
            seen = {row["step"]: row["value"] for row in trial.rungs}
            more = {"state": State.PRUNED, "intermediate_values": seen}
        elif trial.state == TrialState.FAILED and worst is not None:
            more = {"state": State.COMPLETE, "value": worst}
        return create_trial(
            params={name: self._param(name, trial.values[name]) for name in self._space},
            distributions=self._distributions,
            **more,
        )

    def _param(self, name: str, value: Any) -> Any:
        values = self._space[name].values
        if values is None:
            return value
        return [repr(one) for one in values].index(repr(value))


def _distribution(space: Space, name: str, whole: bool) -> "BaseDistribution":
    """Of one setting. Values are told by their places, as they may be of any type."""
    from optuna import distributions

    one = space[name]
    if one.values is not None:
        return distributions.CategoricalDistribution(list(range(len(one.values))))
    low, high = one.low_high
    if whole:
        return distributions.IntDistribution(
            int(low), int(high), log=one.log, step=int(one.step or 1)
        )
    return distributions.FloatDistribution(low, high, log=one.log, step=one.step)


def _worst(sweep: Sweep, trials: Sequence[Trial]) -> float | None:
    """The worst value that any trial had: what a failed one counts as."""
    values = [trial.value for trial in trials if trial.value is not None]
    if not values:
        return None
    return max(values) if sweep.measure.lower_is_better else min(values)


def _seed(seed: int, number: int, attempt: int) -> int:
    """Another one for each trial, of the sweep's: no sequence of draws has to be kept."""
    digest = hashlib.sha256(f"{seed}:{number}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
