"""Every pair (from, to) of every state machine, walked through `advance` on a real row."""

import datetime as dt

import pytest
from django.db import transaction

from models_app.alerts.models import Alert
from models_app.alerts.states import ALLOWED as ALERT
from models_app.approvals.models import ApprovalRequest
from models_app.approvals.states import ALLOWED as APPROVAL
from models_app.core.clock import now
from models_app.core.errors import WrongState
from models_app.core.states import advance
from models_app.datasets.models import DatasetVersion, VersionQuality
from models_app.datasets.states import ALLOWED as DATASET_VERSION
from models_app.datasets.states import QUALITY_ALLOWED as QUALITY
from models_app.deployments.models import Replica, Revision, Rollout
from models_app.deployments.states import ALLOWED as REVISION
from models_app.deployments.states import REPLICA_ALLOWED as REPLICA
from models_app.deployments.states import ROLLOUT_ALLOWED as ROLLOUT
from models_app.finetuning.models import Tuning
from models_app.finetuning.states import ALLOWED as TUNING
from models_app.jobs.models import Job
from models_app.jobs.states import ALLOWED as JOB
from models_app.jobs.states import HELD
from models_app.pools.models import Node
from models_app.pools.states import ALLOWED as NODE
from models_app.registry.models import ModelVersion, StageMove
from models_app.registry.states import ALLOWED as MODEL_VERSION
from models_app.registry.states import MOVES as STAGE_MOVE
from models_app.storage.models import StoreRun, Upload
from models_app.storage.states import ALLOWED as STORE_RUN
from models_app.storage.states import UPLOAD_ALLOWED as UPLOAD
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.states import ALLOWED as SWEEP
from models_app.sweeps.states import TRIAL_ALLOWED as TRIAL

pytestmark = pytest.mark.django_db

#: model -> (its table, fields of a row that the database accepts; foreign keys lead nowhere)
MACHINES = {
    Job: (JOB, {"team_id": 1, "kind": "x", "title": "x", "pool_id": 1, "run_after": now()}),
    DatasetVersion: (DATASET_VERSION, {"dataset_id": 1, "number": 1}),
    VersionQuality: (QUALITY, {"version_id": 1}),
    ModelVersion: (MODEL_VERSION, {"model_id": 1, "number": 1}),
    StageMove: (STAGE_MOVE, {"version_id": 1, "old": "none", "new": "staging", "reason": "x"}),
    ApprovalRequest: (
        APPROVAL,
        {"team_id": 1, "environment_id": 1, "subject_id": 1, "required": 1, "expires_at": now()},
    ),
    Revision: (
        REVISION,
        {"deployment_id": 1, "number": 1, "model_version_id": 1, "config_revision_id": 1},
    ),
    Replica: (REPLICA, {"revision_id": 1}),
    Rollout: (ROLLOUT, {"deployment_id": 1, "revision_id": 1, "strategy": "canary"}),
    StoreRun: (STORE_RUN, {"kind": "verify"}),
    Tuning: (
        TUNING,
        {
            "team_id": 1,
            "base_version_id": 1,
            "training_file_id": 1,
            "dataset_version_id": 1,
            "model_name": "x",
            "seed": 1,
        },
    ),
    Upload: (UPLOAD, {"team_id": 1, "name": "x", "size": 1}),
    Sweep: (
        SWEEP,
        {
            "team_id": 1,
            "model_id": 1,
            "dataset_version_id": 1,
            "base": {},
            "space": {},
            "strategy": "grid",
            "metric": "loss",
            "max_trials": 1,
            "parallel": 1,
        },
    ),
    Trial: (TRIAL, {"sweep_id": 1, "number": 1, "values": {}}),
    Alert: (
        ALERT,
        {
            "team_id": 1,
            "config_id": 1,
            "revision_id": 1,
            "value": 1,
            "threshold": 1,
            "above": True,
            "since": now(),
            "measured_at": now(),
        },
    ),
    Node: (NODE, {"name": "n", "started_at": now(), "last_seen_at": now()}),
}
PAIRS = [
    pytest.param(model, old, new, id=f"{model.__name__}-{old}-{new}")
    for model, (table, _) in MACHINES.items()
    for old in table
    for new in table
]


@pytest.fixture(autouse=True)
def rolled_back(db):
    """Rows with foreign keys that lead nowhere are gone before the database looks at them."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def lease(model, state):
    """A job that is held has a lease; the database insists on it."""
    if model is not Job:
        return {}
    return {"lease_until": now() + dt.timedelta(minutes=1) if state in HELD else None}


@pytest.mark.parametrize(("model", "old", "new"), PAIRS)
def test_a_step_is_taken_if_and_only_if_the_table_has_it(model, old, new):
    table, fields = MACHINES[model]
    row = model.objects.create(state=old, **fields, **lease(model, old))
    late = model.objects.get(pk=row.pk)
    if new in table[old]:
        advance(row, new, allowed=table, **lease(model, new))
        assert row.state == new
        with pytest.raises(WrongState):
            advance(late, new, allowed=table, **lease(model, new))
    else:
        with pytest.raises(WrongState) as caught:
            advance(row, new, allowed=table, **lease(model, new))
        assert caught.value.extra == {"state": old, "wanted": new}
    assert model.objects.get(pk=row.pk).state == (new if new in table[old] else old)


@pytest.mark.parametrize("model", MACHINES)
def test_the_table_names_exactly_the_states_of_the_column(model):
    table, _ = MACHINES[model]
    states = {value for value, _label in model._meta.get_field("state").choices}
    assert set(table) == states
    assert set().union(*table.values()) <= states
