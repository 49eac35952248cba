"""Which versions may be split over several processes, said before anything starts."""

import pytest

from models_app.core.errors import FieldError
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.splitting import FAMILIES
from models_app.jobs.kind import job_kinds
from models_app.pools.services.registration import node_register
from tests.factories.deployments import (
    adapter_version,
    deployment_of,
    live,
    ready_version,
    revision_of,
)
from workers.lm.training.distributed.plans import PLANS

pytestmark = pytest.mark.django_db

SHAPE = {
    "model_type": "llama", "hidden_size": 32, "num_attention_heads": 8,
    "num_key_value_heads": 2, "intermediate_size": 48,
}  # fmt: skip


@pytest.fixture
def node(db):
    return node_register(
        name="large", incarnation="1", slots=4,
        capacity={"cpus": 4, "memory_mib": 4000, "disk_free_mib": 4000, "gpus": []},
    )  # fmt: skip


def version_of(team, **shape):
    version = ready_version(team)
    version.facts = {**version.facts, "architecture": {**SHAPE, **shape}}
    version.save()
    return version


def split(ana, team, version, count, **fields):
    return revision_of(
        ana, deployment_of(ana, team), version=version, tensor_parallel=count, **fields
    )


def test_families_are_those_that_workers_can_cut():
    assert set(FAMILIES) == set(PLANS)


def test_its_job_asks_for_the_processors_of_all_processes(ana, team, node):
    revision = split(ana, team, version_of(team), 2, threads=2)
    reconcile_deployment(revision.deployment_id)

    job = live(revision.deployment)[0].job
    assert job.cpus == 4
    kind = job_kinds.get("serve")
    assert kind.gpus(kind.Params(replica=1, revision=revision.pk)) == 2


def test_one_process_shares_its_node(ana, team, node):
    revision = split(ana, team, version_of(team), 1)
    reconcile_deployment(revision.deployment_id)
    assert not live(revision.deployment)[0].job.cpus


@pytest.mark.parametrize(
    ("shape", "count", "said"),
    [
        ({}, 4, "2 key-value heads"),
        ({"num_attention_heads": 9, "num_key_value_heads": 9}, 2, "9 attention heads"),
        ({"intermediate_size": 51}, 2, "51 inner neurons"),
        ({"model_type": "gpt_neox"}, 2, "gpt_neox are not split"),
    ],
)
def test_shapes_that_do_not_divide(ana, team, shape, count, said):
    with pytest.raises(FieldError, match=said) as caught:
        split(ana, team, version_of(team, **shape), count)
    assert set(caught.value.errors) == {"spec.tensor_parallel"}


def test_what_one_process_serves(ana, team):
    version = version_of(team)
    with pytest.raises(FieldError, match="openvino serves versions in the format openvino"):
        split(ana, team, version, 2, backend="openvino")
    version.format = "int8"
    version.save()
    with pytest.raises(FieldError, match="int8"):
        revision_of(ana, deployment_of(ana, team, name="b"), version=version, tensor_parallel=2)


def test_adapters_are_split_with_their_base(ana, team):
    base = version_of(team)
    revision = split(ana, team, base, 2, adapters={"sql": adapter_version(team, base)})
    assert revision.serving.tensor_parallel == 2
    assert revision.adapters.get().name == "sql"


def test_more_processors_than_any_node_has(ana, team, node):
    with pytest.raises(FieldError, match="at most 4"):
        split(ana, team, version_of(team), 2, threads=4)
