"""The steps of each strategy, with and without room."""

import pytest

from models_app.configs.specs.serving.rollout import RolloutSettings
from models_app.deployments.steps import Step, steps_for, without_room

pytestmark = pytest.mark.nodb


def plan(strategy, *, wanted=4, old=4, free=4, **settings):
    given = RolloutSettings(strategy=strategy, bake_s=5, **settings)
    steps = steps_for(given, strategy=strategy, wanted=wanted, old=old, free=free)
    return [(s.kind, s.new, s.old, s.percent or s.mirror) for s in steps]


@pytest.mark.parametrize("strategy", ["blue_green", "rolling", "canary", "shadow", "all_at_once"])
def test_where_nothing_serves_there_is_nothing_to_compare(strategy):
    assert plan(strategy, old=0) == [("finish", None, None, 0)]


def test_blue_green_is_one_switch():
    assert plan("blue_green") == [("finish", None, None, 0)]


def test_blue_green_may_wait_before_its_switch():
    assert plan("blue_green", wait_for_promotion=True) == [
        ("start", None, None, 0), ("finish", None, None, 0),
    ]  # fmt: skip


def test_rolling_never_has_less_than_it_had():
    assert plan("rolling", wanted=3, old=3) == [
        ("replace", 1, 3, 0), ("replace", 2, 2, 0), ("finish", None, 1, 0),
    ]  # fmt: skip


def test_all_at_once_stops_the_old_ones_first():
    assert plan("all_at_once") == [("swap", None, 0, 0)]


def test_canary_starts_as_many_as_its_share_needs():
    assert plan("canary", canary_percent=30) == [
        ("canary", 2, None, 30), ("finish", None, None, 30),
    ]  # fmt: skip


def test_linear_grows_by_its_step():
    assert plan("linear", step_percent=40) == [
        ("linear", 2, None, 40), ("linear", 4, None, 80), ("finish", None, None, 80),
    ]  # fmt: skip


def test_shadow_sends_copies_and_no_requests():
    steps = steps_for(
        RolloutSettings(canary_percent=20), strategy="shadow", wanted=1, old=1, free=1
    )
    assert [(s.percent, s.mirror) for s in steps] == [(0, 20), (0, 0)]


@pytest.mark.parametrize("strategy", ["blue_green", "rolling", "canary", "linear", "shadow"])
def test_one_replica_without_room_is_drained_first(strategy):
    assert plan(strategy, wanted=1, old=1, free=0) == [("finish", None, 0, 0)]


def test_without_room_one_leaves_for_each_that_comes():
    assert plan("blue_green", wanted=3, old=3, free=0) == [
        ("replace", 1, 2, 0), ("replace", 2, 1, 0), ("finish", None, 0, 0),
    ]  # fmt: skip


def test_a_canary_takes_the_place_of_one_old_replica():
    assert plan("canary", wanted=3, old=3, free=0) == [
        ("canary", 1, 2, 10), ("replace", 2, 1, 0), ("finish", None, 0, 0),
    ]  # fmt: skip


def test_a_free_place_is_used_before_anything_is_drained():
    assert plan("canary", wanted=2, old=2, free=1) == [
        ("canary", 1, None, 10), ("finish", None, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("free", range(5))
@pytest.mark.parametrize("strategy", ["blue_green", "rolling", "canary", "linear", "shadow"])
def test_never_more_than_there_is_room_for(strategy, free):
    wanted = old = 4
    steps = steps_for(
        RolloutSettings(step_percent=30), strategy=strategy, wanted=wanted, old=old, free=free
    )
    for step in steps:
        new = wanted if step.new is None else step.new
        kept = old if step.old is None else step.old
        assert new + kept <= old + free


def test_a_pool_that_filled_up_turns_the_rest_into_replacing():
    rest = without_room(Step(kind="finish"), wanted=2, old=2, placed=0)
    assert [(s.kind, s.new, s.old) for s in rest] == [("replace", 1, 1), ("finish", None, 0)]

    canary = Step(kind="canary", new=1, percent=10, bake_s=5)
    rest = without_room(canary, wanted=2, old=2, placed=0)
    assert [(s.kind, s.new, s.old) for s in rest] == [("canary", 1, 1), ("finish", None, 0)]
