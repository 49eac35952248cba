"""A team with imported data, a trained version and an evaluation, made once per test."""

import pytest

from models_app.registry.services import evaluation_start, model_create, training_start
from tests.factories.data import ready_version
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_train import TINY


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


@pytest.fixture
def trained(ana, team, model, data, tmp_path):
    def make(**changes):
        version = training_start(
            actor=ana, team=team, model=model, dataset_version=data, spec={**TINY, **changes}
        )
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()
        return version

    return make


@pytest.fixture
def version(trained):
    return trained()


@pytest.fixture
def evaluated(ana, data, tmp_path):
    def make(version):
        run_job(evaluation_start(actor=ana, version=version, dataset_version=data), tmp_path)
        return version.evaluations.first()

    return make
