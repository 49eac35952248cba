"""The engine of a deployment must fit its version, and some node must have it."""

import pytest

from models_app.core.errors import InvalidInput
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import revision_create
from models_app.registry.formats import formats_for
from tests.factories.deployments import deployment_of, live, ready_version
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db
OPENVINO = {"packages": {"openvino": "2026.4.1"}}


def deployed(actor, team, *, format, **spec):
    return revision_create(
        actor=actor,
        deployment=deployment_of(actor, team, name="writer", env="development"),
        model_version=ready_version(team, format=format),
        spec={"replicas": 1, **spec},
    )


def said(refused):
    ((field, text),) = refused.value.errors.items()
    return field, str(text)


@pytest.mark.parametrize(
    ("format", "backend", "remedy"),
    [
        ("openvino", "slipway", "Choose the engine openvino"),
        ("safetensors", "openvino", "Convert it, or choose the engine slipway / vllm"),
        ("int8", "vllm", "choose the engine slipway"),
        ("ngram", "openvino", "slipway"),
    ],
)
def test_an_engine_that_does_not_serve_the_format_is_refused(ana, team, format, backend, remedy):
    with pytest.raises(InvalidInput) as refused:
        deployed(ana, team, format=format, backend=backend)
    field, text = said(refused)

    assert field == "spec.backend"
    assert remedy.lower() in text.lower() and format in text


def test_formats_that_no_engine_serves_are_refused_as_before(ana, team):
    with pytest.raises(InvalidInput) as refused:
        deployed(ana, team, format="gguf")

    assert said(refused)[0] == "model_version"
    assert "openvino" in formats_for("serve")


@pytest.mark.parametrize(
    ("format", "spec", "field"),
    [
        ("openvino", {"backend": "openvino", "tensor_parallel": 2}, "spec.tensor_parallel"),
        ("safetensors", {"backend": "vllm", "draft": "prompt"}, "spec.draft"),
    ],
)
def test_settings_that_an_engine_does_not_have_are_refused(ana, team, format, spec, field):
    with pytest.raises(InvalidInput) as refused:
        deployed(ana, team, format=format, **spec)

    assert said(refused)[0] == field


def test_somebody_must_have_it(ana, team):
    ready_node("plain")
    with pytest.raises(InvalidInput) as refused:
        deployed(ana, team, format="openvino", backend="openvino")
    field, text = said(refused)

    assert field == "spec.backend" and "requirements/openvino.txt" in text


def test_its_replicas_go_where_it_is(ana, team):
    for number in range(3):
        ready_node(f"plain-{number}")
    ready_node("intel", **OPENVINO)
    revision = deployed(ana, team, format="openvino", backend="openvino")
    reconcile_deployment(revision.deployment_id)
    (replica,) = live(revision.deployment)

    assert sorted(replica.job.excluded_nodes) == ["plain-0", "plain-1", "plain-2"]


def test_replicas_of_the_common_engine_go_anywhere(ana, team):
    ready_node("plain")
    revision = deployed(ana, team, format="safetensors")
    reconcile_deployment(revision.deployment_id)

    assert live(revision.deployment)[0].job.excluded_nodes == []
