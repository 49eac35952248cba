"""What a sweep is refused for, by the field that is wrong, before anything of it starts."""

import pytest

from models_app.core.errors import InvalidInput
from models_app.registry.services import model_create
from models_app.sweeps.checking import Halving
from models_app.sweeps.models import Sweep
from models_app.sweeps.space import grid_points, space_read
from tests.factories.nodes import ready_node
from tests.models_app.sweeps.conftest import BASE, HALVING

pytestmark = pytest.mark.django_db
RATE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


def refused(start, space=RATE, **options):
    with pytest.raises(InvalidInput) as caught:
        start(space, **options)
    assert not Sweep.objects.exists()
    return caught.value.errors


@pytest.mark.parametrize(
    ("space", "field", "words"),
    [
        ({}, "space", "Say which settings vary"),
        ({"learning_rat": {"low": 1, "high": 2}}, "space.learning_rat", "mean learning_rate?"),
        ({"dropout": {"low": 0.5, "high": 0.1}}, "space.dropout.high", "the wrong way round"),
        ({"dropout": {"low": 0, "high": 0.1, "log": True}}, "space.dropout.low", "above 0"),
        ({"dropout": {"low": 0.1}}, "space.dropout.high", "both ends"),
        ({"dropout": {}}, "space.dropout", "Say either"),
        ({"dropout": {"values": []}}, "space.dropout.values", "at least 1"),
        ({"dropout": {"values": [0.1, 0.1]}}, "space.dropout.values", "once"),
        ({"dropout": {"values": [0.1], "log": True}}, "space.dropout.log", "Only a range"),
        ({"dropout": {"low": 0.1, "high": 0.2, "stpe": 1}}, "space.dropout.stpe", "no such field"),
        ({"dropout": {"low": 0.1, "high": 0.2, "step": 1}}, "space.dropout.step", "larger"),
        ({"seed": {"low": 1, "high": 10**400}}, "space.seed.high", "less than or equal"),
        ({"dropout": {"low": 0, "high": 0.1, "step": 1e-320}}, "space.dropout.step", "greater"),
        ({"dropout": [0.1, 0.2]}, "space.dropout", "Send a JSON object."),
        ({"dropout": {"low": 0.1, "high": 2}}, "space.dropout", "With dropout = 2: Input should"),
        ({"schedule": {"low": 1, "high": 2}}, "space.schedule", "It is no number"),
        ({"schedule": {"values": ["linear", "odd"]}}, "space.schedule", "With schedule = odd"),
        ({"batch_size": {"low": 1.5, "high": 4}}, "space.batch_size", "whole numbers"),
        ({"vocab_size": {"values": [64, 65]}}, "space.vocab_size", "what a token is"),
        ({"preset": {"values": ["gpt2-1m", "x"]}}, "space.preset", "With preset = x: Choose one"),
        ({"steps": {"values": [1, 50]}, "warmup_steps": {"values": [1, 60]}},
         "space.warmup_steps", "With steps = 50, warmup_steps = 60: Use fewer than the 50"),
        ({f"s{n}": {"values": [1]} for n in range(13)}, "space", "At most 12"),
    ],
)  # fmt: skip
def test_a_space_that_cannot_be_searched(start, space, field, words):
    errors = refused(start, space)

    assert words in errors[field][0]


def test_a_fixed_setting_is_named_as_such_with_the_values_at_which_it_fails(start):
    errors = refused(start, {"steps": {"values": [40, 20]}}, spec={**BASE, "warmup_steps": 30})
    assert errors == {
        "config.warmup_steps": ["With steps = 20: Use fewer than the 20 steps of the training."]
    }
    errors = refused(start, spec={**BASE, "stepps": 3})
    assert errors == {
        "config.stepps": ["There is no such field. Remove it, or check its spelling."]
    }


def test_a_grid_says_how_many_points_it_has(start):
    space = {"batch_size": {"low": 1, "high": 8}, "dropout": {"values": [0.0, 0.1, 0.2]}}
    errors = refused(start, space, strategy="grid", max_trials=20)
    assert "The grid has 24 points, more than the 20 trials allowed." in errors["max_trials"][0]

    assert refused(start, strategy="grid").keys() == {"space.learning_rate"}
    points = {"learning_rate": {**RATE["learning_rate"], "points": 3}}
    assert refused(start, points).keys() == {"space.learning_rate.points"}
    sweep = start(points, strategy="grid")
    assert sweep.max_trials == 3


def test_the_points_of_a_grid():
    space = space_read({
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "points": 3},
        "batch_size": {"low": 4, "high": 8, "step": 2},
        "dropout": {"low": 0.0, "high": 0.25, "step": 0.1},
    })  # fmt: skip
    points = list(grid_points(space, {"batch_size": True}))

    assert len(points) == 3 * 3 * 3
    assert {p["learning_rate"] for p in points} == {1e-4, 1e-3, 1e-2}
    assert {p["batch_size"] for p in points} == {4, 6, 8}
    assert {p["dropout"] for p in points} == {0.0, 0.1, 0.2}


def test_too_many_corners_are_not_half_checked(start):
    space = {name: {"values": list(range(1, 21))} for name in ("batch_size", "log_every", "seed")}
    assert "8,000 corners" in refused(start, space)["space"][0]


def test_the_data_and_the_nodes_are_looked_at(start):
    ready_node(memory_mib=1000)
    huge = {"batch_size": {"values": [4, 60_000]}}
    said = refused(start, huge)["space.batch_size"][0]
    assert said.startswith("With batch_size = 60000: This needs about")
    long = {"sequence_length": {"values": [16, 100_000]}}
    assert "too few for sequences" in refused(start, long)["space.sequence_length"][0]


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"strategy": "best"}, "strategy", "Use one of grid, random, tpe."),
        ({"metric": "happiness"}, "metric", "Use one of validation_loss"),
        ({"max_trials": 0}, "max_trials", "from 1 to 1000"),
        ({"parallel": 65}, "parallel", "from 1 to 64"),
        ({"seed": -1}, "seed", "Use a number"),
        ({"pool": "nowhere"}, "pool", "There is no pool"),
        ({"resources": {"cpu": 1}}, "resources.cpu", "no such field"),
        ({"metric": "best_validation_loss", "halving": HALVING}, "metric", "only at the end"),
        ({"halving": Halving(min_resource=15)}, "early_stopping.min_resource", "every 10 steps"),
        ({"halving": Halving(min_resource=90)}, "early_stopping.min_resource", "has 90 steps"),
        ({"halving": Halving(reduction_factor=1)}, "early_stopping.reduction_factor", "2 or more"),
        ({"halving": HALVING, "spec": {**BASE, "evaluate_every": 0}}, "config.evaluate_every",
         "Say how often"),
    ],
)  # fmt: skip
def test_options_that_cannot_work(start, options, field, words):
    assert words in refused(start, **options)[field][0]


@pytest.mark.parametrize("name", ["steps", "evaluate_every"])
def test_early_stopping_compares_after_the_same_steps(start, name):
    errors = refused(start, {name: {"values": [10, 30]}}, halving=HALVING)
    assert "keep this fixed" in errors[f"space.{name}"][0]


class TestOtherFamilies:
    def test_an_n_gram_model_has_no_steps_to_be_stopped_at(self, start, ana, team):
        model = model_create(actor=ana, team=team, name="counts", family="ngram")
        orders = {"order": {"low": 1, "high": 4}}
        errors = refused(start, orders, of=model, spec={}, halving=HALVING)
        assert "counted at one go" in errors["early_stopping"][0]
        assert "space.unit" in refused(start, {"unit": {"values": ["char", "word"]}}, of=model,
                                       spec={})  # fmt: skip

        sweep = start(orders, of=model, spec={"unit": "char"}, strategy="grid")
        assert (sweep.max_trials, sweep.metric, sweep.rungs) == (4, "validation_loss", [])

    def test_a_hidden_markov_model_is_compared_by_its_training_loss(self, start, ana, team):
        model = model_create(actor=ana, team=team, name="states", family="hmm")
        states = {"states": {"low": 2, "high": 6}}
        halving = Halving(min_resource=5)
        errors = refused(start, states, of=model, spec={}, halving=halving,
                         metric="validation_loss")  # fmt: skip
        assert "only at the end" in errors["metric"][0]
        errors = refused(start, states, of=model, spec={"restarts": 2}, halving=halving)
        assert "config.restarts" in errors

        sweep = start(states, of=model, spec={"iterations": 50, "restarts": 1}, halving=halving)
        assert (sweep.metric, sweep.resource, sweep.rungs) == ("loss", "iterations", [5, 15, 45])
