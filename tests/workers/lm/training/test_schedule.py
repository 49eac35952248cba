"""The learning rate over the steps."""

from itertools import pairwise

import pytest

from workers.lm.training.schedule import learning_rate_at
from workers.lm.training.spec import TrainSpec

pytestmark = pytest.mark.nodb


def rates(schedule):
    spec = TrainSpec(
        preset="gpt2-1m", steps=100, warmup_steps=9, schedule=schedule,
        learning_rate=1.0, min_learning_rate=0.1,
    )  # fmt: skip
    return [learning_rate_at(spec, step) for step in range(101)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_warm_up_then_descent_to_the_floor(schedule):
    found = rates(schedule)
    assert found[:9] == pytest.approx([0.1 * (step + 1) for step in range(9)])
    assert found[9] == 1.0
    if schedule == "constant":
        assert set(found[9:]) == {1.0}
        return
    assert found[100] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(found[9:]))


def test_shapes_of_the_descent():
    middle = 9 + 91 / 2
    assert rates("linear")[54] == pytest.approx(1 - 0.9 * 45 / 91)
    assert rates("cosine")[int(middle)] == pytest.approx(0.55, abs=0.01)
