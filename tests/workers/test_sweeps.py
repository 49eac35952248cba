"""A sweep on a real worker: orders of an n-gram model, driven by the worker itself."""

import pytest

from models_app.registry.services import model_create
from models_app.sweeps.services import sweep_start
from tests.factories.data import ready_version
from tests.workers.conftest import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_the_worker_drives_a_grid_of_orders_to_its_end(worker, ana, team, tmp_path):
    data = ready_version(ana, team, tmp_path / "import")
    model = model_create(actor=ana, team=team, name="counts", family="ngram")
    sweep = sweep_start(
        actor=ana, team=team, model=model, dataset_version=data, spec={"unit": "word"},
        space={"order": {"low": 1, "high": 3}}, strategy="grid", parallel=2,
    )  # fmt: skip

    def over():
        sweep.refresh_from_db()
        return sweep.state in ("done", "failed")

    wait_for(over, "the sweep is over", 300)
    trials = {trial.values["order"]: trial for trial in sweep.trials.all()}
    assert (sweep.state, sorted(trials)) == ("done", [1, 2, 3])
    assert {trial.state for trial in trials.values()} == {"done"}
    assert trials[1].value > trials[3].value
    for trial in trials.values():
        assert trial.version.state == "ready"
        assert trial.value == trial.version.metrics["validation_loss"]
        assert trial.version.facts["order"] == trial.values["order"]
