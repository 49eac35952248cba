"""A model, data, and sweeps of it."""

import math

import pytest

from models_app.registry.services import model_create
from models_app.sweeps.checking import Halving
from models_app.sweeps.services import sweep_advance, sweep_start
from tests.factories.data import ready_version
from tests.fakes.trainings import Workers

#: Nine reports, at 10, 20, … 90 steps.
BASE = {
    "preset": "gpt2-1m", "tokenizer": "char", "vocab_size": 64, "sequence_length": 16,
    "batch_size": 4, "steps": 90, "warmup_steps": 1, "evaluate_every": 10, "log_every": 10,
    "min_learning_rate": 0.0,
}  # fmt: skip
GRID = {
    "learning_rate": {"values": [1e-4, 1e-3, 1e-2]},
    "batch_size": {"values": [4, 8, 16]},
    "dropout": {"low": 0.0, "high": 0.2, "points": 2},
}
HALVING = Halving(min_resource=10, reduction_factor=3)


def toy(values, step):
    """Curves that do not cross: the best settings are learning_rate 1e-3, batch 8, dropout 0."""
    rate = abs(math.log10(values.get("learning_rate", 1e-3)) + 3)
    batch = abs(math.log2(values.get("batch_size", 8)) - 3)
    floor = 1.0 + 0.3 * rate + 0.05 * batch + values.get("dropout", 0.0)
    return floor + (1 + floor) * math.exp(-step / 40)


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


@pytest.fixture
def start(ana, team, model, data):
    """`start(space, **options)`: a sweep of Ana's."""

    def make(space, *, spec=BASE, actor=ana, of=model, **options):
        return sweep_start(
            actor=actor, team=team, model=of, dataset_version=data, spec=spec, space=space,
            **options,
        )  # fmt: skip

    return make


def driven(sweep, curve=toy, *, rounds=400, every=10):
    """Work and look in turn until the sweep is over; returns the workers."""
    workers = Workers(sweep, curve, every=every)
    for _ in range(rounds):
        sweep_advance(sweep.pk)
        sweep.refresh_from_db()
        if sweep.state in ("done", "failed"):
            return workers
        workers.work()
    raise AssertionError(f"{sweep} is {sweep.state} after {rounds} rounds")
