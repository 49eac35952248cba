"""Intervals by drawing again, against what can be worked out by hand and by plain loops."""

import random
import statistics
from itertools import product

import pytest

from models_app.registry.scoring import bootstrap
from models_app.registry.scoring.bootstrap import Interval, interval, resampled
from models_app.registry.scoring.wilson import wilson

pytestmark = pytest.mark.nodb


def every_draw(values, weights):
    """The figure of each of the n^n draws that there are."""
    places = range(len(values))
    return [
        sum(values[p] for p in drawn) / sum(weights[p] for p in drawn)
        for drawn in product(places, repeat=len(values))
    ]


def test_draws_have_the_mean_and_width_of_all_draws_there_are():
    values, weights = [3.0, 8.0, 1.0, 6.0, 6.0], [1.0, 4.0, 1.0, 2.0, 5.0]

    (found,) = resampled([values], weights, resamples=20_000, seed=4)

    expected = every_draw(values, weights)
    assert statistics.fmean(found) == pytest.approx(statistics.fmean(expected), abs=0.02)
    assert statistics.pstdev(found) == pytest.approx(statistics.pstdev(expected), rel=0.03)
    for share in (0.025, 0.25, 0.975):
        place = sorted(expected)[round(share * (len(expected) - 1))]
        assert sorted(found)[round(share * (len(found) - 1))] == pytest.approx(place, abs=0.06)


def test_columns_share_their_draws():
    chance = random.Random(1)
    values = [chance.uniform(0, 9) for _ in range(50)]

    one, two = resampled([values, [v + 2 for v in values]], [1.0] * 50, resamples=200)

    assert [b - a for a, b in zip(one, two, strict=True)] == pytest.approx([2.0] * 200)
    assert max(one) - min(one) > 1


def test_the_same_seed_draws_the_same():
    draw = {"columns": [[1.0, 2.0, 5.0]], "weights": [1.0, 1.0, 1.0], "resamples": 50}

    assert resampled(**draw, seed=1) == resampled(**draw, seed=1)
    assert resampled(**draw, seed=1) != resampled(**draw, seed=2)


def test_many_documents_are_drawn_in_groups_of_the_same_width(monkeypatch):
    chance = random.Random(3)
    values = [chance.gauss(5, 2) for _ in range(6000)]
    weights = [chance.choice([1.0, 2.0, 3.0]) for _ in values]
    (alone,) = resampled([values], weights, resamples=600)
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 1500)

    (grouped,) = resampled([values], weights, resamples=600)

    figure = sum(values) / sum(weights)
    assert statistics.fmean(grouped) == pytest.approx(figure, abs=0.005)
    assert statistics.pstdev(grouped) == pytest.approx(statistics.pstdev(alone), rel=0.12)


def test_an_interval_is_the_middle_95_of_100():
    for top in (1000, 100, 10):
        found = interval([float(n) for n in range(top, -1, -1)])
        assert (found.low, found.high) == pytest.approx((0.025 * top, 0.975 * top))
    assert Interval(0.1, 0.4).leaves_zero_out
    assert Interval(-0.4, -0.1).leaves_zero_out
    assert not Interval(-0.1, 0.1).leaves_zero_out


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [  # From Newcombe (1998), Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_shares_have_the_published_intervals_of_wilson(right, count, low, high):
    found = wilson(right, count)

    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
