"""The rule of successive halving, and what it does with many trials."""

import random

import pytest

from models_app.sweeps.halving import WORST, goes_on, rungs

pytestmark = pytest.mark.nodb


@pytest.mark.parametrize(
    ("least", "most", "factor", "expected"),
    [(10, 90, 3, [10, 30]), (100, 1000, 3, [100, 300, 900]), (1, 16, 2, [1, 2, 4, 8]),
     (50, 50, 3, []), (60, 50, 3, [])],
)  # fmt: skip
def test_rungs_grow_by_the_factor_and_end_before_the_trial_does(least, most, factor, expected):
    assert rungs(least, most, factor) == expected


@pytest.mark.parametrize(
    ("value", "reached", "expected"),
    [
        (2.0, [2.0], True),
        (2.0, [2.0, 1.0], False),
        (1.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], True),
        (2.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], True),
        (3.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], False),
        (2.0, [2.0, 2.0, 2.0], True),
        (9.0, [9.0, WORST, WORST], True),
        (2.0, [1.0, 2.0, 3.0, 4.0, 5.0, WORST], True),
        (WORST, [WORST, 1.0], False),
    ],
)
def test_the_best_third_of_those_that_got_there_go_on(value, reached, expected):
    assert goes_on(value, reached, 3) is expected


def test_of_many_that_come_one_after_the_other_few_stay_and_the_best_is_among_them():
    draw = random.Random(5)
    for _ in range(50):
        values = [draw.random() for _ in range(60)]
        reached, stayed = [], []
        for value in values:
            reached.append(value)
            if goes_on(value, reached, 3):
                stayed.append(value)
        assert min(values) in stayed
        assert len(stayed) < 40


def test_it_decides_as_optuna_does():
    """Optuna's own pruner, asked with the same reports in the same order, stops the same trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = random.Random(11)
    pruner = optuna.pruners.SuccessiveHalvingPruner(
        min_resource=10, reduction_factor=3, min_early_stopping_rate=0
    )
    study = optuna.create_study(pruner=pruner)
    trials = [study.ask() for _ in range(40)]
    reached, stopped = {10: [], 30: []}, set()
    for step in (10, 30):
        for trial in trials:
            if trial.number in stopped:
                continue
            value = draw.random()
            trial.report(value, step)
            reached[step].append(value)
            ours = not goes_on(value, reached[step], 3)
            assert trial.should_prune() == ours
            if ours:
                stopped.add(trial.number)

    assert len(stopped) > 20
