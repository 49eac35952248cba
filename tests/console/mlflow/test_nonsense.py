"""Every address of `/mlflow` with nonsense in every field: an error that is named, never a 500."""

import itertools
import json

import pytest
from django.urls import get_resolver

from tests.console.mlflow.conftest import API
from tests.flows.test_fuzz import BODIES, IN_BODIES, IN_QUERIES, TYPES

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def valid(wire_for, ben, settings, tmp_path):
    """Bodies by address that are right, but for one field at a time."""
    settings.DATA_DIR = tmp_path
    wire = wire_for(ben)
    experiment = wire.made("experiments/create", name="rates")["experiment_id"]
    key = wire.run(experiment)
    model = wire.made("logged-models", name="m", source_run_id=key)["model"]["info"]["model_id"]
    wire.made("registered-models/create", name="poet")
    tags = [{"key": "a", "value": "b"}]
    point = {"key": "loss", "value": 1.5, "timestamp": 5, "step": 1}
    data = {"name": "d", "digest": "e", "source_type": "f", "source": "g", "schema": "h"}
    version = {"name": "poet", "version": "1"}
    return wire, {
        "experiments/create": {"name": "new", "tags": tags, "artifact_location": ""},
        "experiments/search": {
            "max_results": 5, "page_token": "", "filter": "name = 'a'", "order_by": [],
            "view_type": "ACTIVE_ONLY",
        },
        "experiments/set-experiment-tag": {"experiment_id": experiment, "key": "a", "value": "b"},
        "runs/create": {
            "experiment_id": experiment, "run_name": "a", "start_time": 5, "tags": tags,
        },
        "runs/update": {"run_id": key, "run_name": "b", "end_time": 5, "status": "RUNNING"},
        "runs/search": {
            "experiment_ids": [experiment], "filter": "metrics.loss < 2", "max_results": 5,
            "order_by": ["metrics.loss"], "page_token": "", "run_view_type": "ALL",
        },
        "runs/delete": {"run_id": key},
        "runs/log-batch": {"run_id": key, "metrics": [point], "params": tags, "tags": tags},
        "runs/log-metric": {"run_id": key, **point},
        "runs/log-parameter": {"run_id": key, "key": "p", "value": "v"},
        "runs/set-tag": {"run_id": key, "key": "t", "value": "v"},
        "runs/delete-tag": {"run_id": key, "key": "t"},
        "runs/log-inputs": {"run_id": key, "datasets": [{"dataset": data, "tags": tags}]},
        "runs/outputs": {"run_id": key, "models": [{"model_id": model, "step": 3}]},
        "logged-models": {"name": "m", "source_run_id": key, "model_type": "", "tags": tags},
        "logged-models/search": {"experiment_ids": [experiment], "filter": ""},
        "registered-models/create": {"name": "other", "description": "a", "tags": tags},
        "registered-models/alias": {**version, "alias": "champion"},
        "registered-models/get-latest-versions": {"name": "poet", "stages": ["Staging"]},
        "model-versions/create": {"name": "poet", "source": f"runs:/{key}", "description": "a"},
        "model-versions/set-tag": {**version, "key": "a", "value": "b"},
        "model-versions/transition-stage": {**version, "stage": "Staging"},
    }  # fmt: skip


def check(answer, what):
    assert answer.status_code < 500 or answer.status_code == 501, (what, answer.content[:300])
    if answer.status_code >= 400:
        body = json.loads(answer.content)
        assert set(body) == {"error_code", "message"}, (what, body)
        assert body["error_code"].isupper(), what
        assert body["message"], what


def test_nonsense_in_every_field(valid):
    wire, bodies = valid
    values = itertools.cycle(IN_BODIES)
    for name, body in bodies.items():
        for field in body:
            for rubbish in itertools.islice(values, 8):
                rest = json.dumps({key: text for key, text in body.items() if key != field})
                text = f'{rest[:-1]}{", " if len(body) > 1 else ""}"{field}": {rubbish}}}'
                answer = wire.client.post(f"{API}/{name}", text, content_type="application/json")
                check(answer, (name, field, rubbish[:80]))


def test_nonsense_inside_what_is_logged(valid):
    wire, bodies = valid
    body = bodies["runs/log-batch"]
    for group, field in (
        ("metrics", "key"), ("metrics", "value"), ("metrics", "timestamp"), ("metrics", "step"),
        ("params", "key"), ("params", "value"), ("tags", "key"), ("tags", "value"),
    ):  # fmt: skip
        for rubbish in IN_BODIES:
            one = json.dumps({k: v for k, v in body[group][0].items() if k != field})
            text = (
                f'{{"run_id": "{body["run_id"]}", "{group}": [{one[:-1]}, "{field}": {rubbish}}}]}}'
            )
            answer = wire.client.post(
                f"{API}/runs/log-batch", text, content_type="application/json"
            )
            check(answer, (group, field, rubbish[:80]))
    assert wire.read(body["run_id"])


def test_nonsense_as_bodies_of_any_type(valid):
    wire, bodies = valid
    kinds = itertools.cycle(TYPES)
    for name in bodies:
        for body in BODIES:
            answer = wire.client.generic(
                "POST", f"{API}/{name}", body, content_type=next(kinds) or "a"
            )
            check(answer, (name, body[:40]))


def test_nonsense_in_addresses(valid):
    wire, bodies = valid
    key = bodies["runs/update"]["run_id"]
    asked = {
        "experiments/get": ["experiment_id"], "experiments/get-by-name": ["experiment_name"],
        "runs/get": ["run_id", "run_uuid"],
        "metrics/get-history": ["run_id", "metric_key", "max_results", "page_token"],
        "metrics/get-history-bulk-interval": ["run_ids", "metric_key", "start_step", "max_results"],
        "registered-models/get": ["name"], "registered-models/alias": ["name", "alias"],
        "registered-models/search": ["filter", "max_results", "page_token"],
        "model-versions/get": ["name", "version"],
        "model-versions/search": ["filter", "max_results", "page_token"],
    }  # fmt: skip
    usual = {"run_id": key, "run_ids": key, "metric_key": "loss", "name": "poet", "version": "1"}
    for name, fields in asked.items():
        for field in fields:
            rest = "&".join(f"{k}={v}" for k, v in usual.items() if k != field)
            for rubbish in IN_QUERIES:
                check(wire.client.get(f"{API}/{name}?{rest}&{field}={rubbish}"), (name, rubbish))
    files = "/mlflow/api/2.0/mlflow-artifacts/artifacts"
    for rubbish in IN_QUERIES:
        check(wire.client.get(f"{files}?path={rubbish}"), rubbish)
        check(wire.client.get(f"{files}/1/{key}/artifacts/{rubbish}"), rubbish)
        check(wire.client.get(f"{files}/versions/{rubbish}/1/a"), rubbish)
        check(wire.client.get(f"{API}/logged-models/{rubbish or 'a'}"), rubbish)


def test_every_address_answers_in_the_protocols_words(valid):
    wire, _bodies = valid
    (own,) = [one for one in get_resolver().url_patterns if str(one.pattern) == "mlflow/"]
    for route in own.url_patterns:
        path = str(route.pattern).replace("<str:model_id>", "m-1").replace("<path:path>", "a")
        for method in ("get", "post", "put", "patch", "delete"):
            answer = getattr(wire.client, method)(f"/mlflow/{path.strip('^')}")
            check(answer, (method, path))
