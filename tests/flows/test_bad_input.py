"""What people and programs get wrong: a 4xx names each, and nothing is half made."""

import io
import json
import unicodedata

import pyarrow
import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from pyarrow import parquet

from models_app.datasets.models import DatasetVersion
from models_app.datasets.services import dataset_create
from models_app.pools.services.registration import node_register
from models_app.registry.models import ModelVersion
from models_app.registry.services import model_create, training_start
from tests.factories.data import pending_version, ready_version, stored
from tests.factories.deployments import environment
from tests.fakes.jobs import run_job
from tests.flows.problems import check_problem
from tests.workers.conftest import wait_for
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
V1 = "/api/v1"
#: Rows of these tell nothing about half-made things.
ASIDE = {"sessions", "axes", "contenttypes", "audit"}


def rows():
    """How many rows each table of the product has."""
    models = [model for model in apps.get_models() if model._meta.app_label not in ASIDE]
    return {model._meta.label: model._base_manager.count() for model in models}


@pytest.fixture(autouse=True)
def environments(db):
    for name in ("development", "staging", "production"):
        environment(name)


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


def refused(answer, status, field=None):
    """The answer is a problem of this status, and names the field."""
    assert answer.status_code == status, answer.content[:500]
    assert check_problem(answer), answer.content[:500]
    if field is not None:
        assert field in answer.json()["errors"], answer.json()
        assert len(answer.json()["errors"][field][0]) > 10


# ---- JSON

LONG = "x" * 1000
JSONS = {
    "empty": (b"", 422, "team"),
    "no object": (b"[1, 2]", 422, "body"),
    "null": (b"null", 422, "body"),
    "cut off": (b'{"team": "research", "name": "a', 400, None),
    "not UTF-8": (b'{"team": "research", "name": "caf\xe9"}', 400, None),
    "NaN": (b'{"team": "research", "name": NaN}', 400, None),
    "Infinity": (b'{"team": "research", "name": -Infinity}', 400, None),
    "too large a number": (b'{"team": "research", "name": 1e999}', 400, None),
    "huge integer": (b'{"team": "research", "name": ' + b"9" * 10_000 + b"}", 400, None),
    "NUL": (b'{"team": "research", "name": "a\\u0000b"}', 422, "name"),
    "NUL in another name": (b'{"team": "research\\u0000", "name": "a"}', 422, "team"),
    "lone surrogate": (
        b'{"team": "research", "name": "a", "description": "\\ud800"}', 422, "description",
    ),
    "deep": (b'{"team": "research", "name": ' + b"[" * 200 + b"]" * 200 + b"}", 400, None),
    "very deep": (b"[" * 200_000, 400, None),
    "twice": (b'{"team": "research", "name": "a", "name": "b"}', 422, "name"),
    "unknown field": (b'{"team": "research", "name": "a", "owner": "cai"}', 422, "owner"),
    "missing field": (b'{"team": "research"}', 422, "name"),
    "ten megabytes": (b'{"team": "research", "name": "' + b"x" * (10 << 20) + b'"}', 413, None),
    "wrong type": (b'{"team": "research", "name": {"a": 1}}', 422, "name"),
}  # fmt: skip


@pytest.mark.parametrize("route", ["datasets", "models"])
@pytest.mark.parametrize("case", JSONS)
def test_json_is_read_strictly(ana, team, api_for, route, case):
    raw, status, field = JSONS[case]
    api, before = api_for(ana), rows()

    answer = api.generic("POST", f"{V1}/{route}", raw, content_type="application/json")

    refused(answer, status, field)
    assert rows() == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded",
             "multipart/form-data; boundary=x", "application/json5"]
)  # fmt: skip
def test_other_content_types_are_refused(ana, team, api_for, kind):
    api, before = api_for(ana), rows()
    raw = b'{"team": "research", "name": "a"}'

    refused(api.generic("POST", f"{V1}/models", raw, content_type=kind), 415)

    assert rows() == before


# ---- names

NAMES = {
    "empty": "", "blank": "  ", "slash": "a/b", "backslash": "a\\b", "dots": "..",
    "dots inside": "a..b",
    "dot first": ".a", "upper case": "Poet", "space": "my poet", "new line": "a\nb",
    "bell": "a\x07b",
    "right to left": "a\u202eb", "1,000 characters": LONG, "64 characters": "x" * 64,
    "NFD": unicodedata.normalize("NFD", "poét"), "NFC": "poét", "percent": "a%2fb",
    "query": "a?b=c",
    "markup": "<script>", "zero width": "a\u200bb", "full width": "ｐoet",
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("route", ["datasets", "models", "deployments", "configs", "teams"])
def test_names_that_are_no_names(ana, team, api_for, route, case):
    if route == "teams":
        ana.is_admin = True
        ana.save()
    extra = {
        "deployments": {"environment": "development"},
        "configs": {"kind": "training", "spec": dict(TINY)},
    }
    body = {"team": team.slug, "name": NAMES[case], **extra.get(route, {})}
    field = "name"
    if route == "teams":
        body, field = {"slug": NAMES[case], "title": "A team"}, "slug"
    api, before = api_for(ana), rows()

    refused(api.post(f"{V1}/{route}", body), 422, field)

    assert rows() == before


@pytest.mark.parametrize("case", NAMES)
def test_the_form_says_it_beside_the_field(ana, team, client_for, case):
    client, before = client_for(ana), rows()
    given = {"name": NAMES[case], "team": team.slug, "description": "", "source": "upload",
             "document": "auto", "text_field": "text", "split": "random", "seed": "1",
             "validation_fraction": "0.1",
             "files": SimpleUploadedFile("a.txt", b"words\n\nand more words")}  # fmt: skip

    answer = client.post("/datasets/new/", given)

    assert answer.status_code == 422
    assert 'id="id_name_error"' in answer.content.decode()
    assert rows() == before


# ---- files


def broken_parquet():
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["a", "b"]}), out)
    return out.getvalue()[:-20]


def no_rows():
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), out)
    return out.getvalue()


FILES = {
    "one bad line": ("a.jsonl", b'{"text": "a"}\n{"text": "b"}\n{oops\n{"text": "d"}\n', "3"),
    "a line without the field": ("a.jsonl", b'{"text": "a"}\n{"other": 1}\n', "2"),
    "a field that is no text": ("a.jsonl", b'{"text": "a"}\n{"text": 5}\n', "2"),
    "a line that is no object": ("a.jsonl", b'{"text": "a"}\n[1]\n', "2"),
    "a line with NaN": ("a.jsonl", b'{"text": "a"}\n{"text": NaN}\n', "2"),
    "binary as text": ("a.txt", bytes(range(256)) * 40, "a.txt"),
    "a picture as JSON lines": ("a.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(200), "a.jsonl"),
    "Latin-1": ("a.txt", "Über die Brücke".encode("latin-1"), "a.txt"),
    "UTF-16": ("a.txt", "one two three".encode("utf-16"), "a.txt"),
    "blank": ("a.txt", b" \n\n \n", "a.txt"),
    "no lines": ("a.jsonl", b"\n\n", "a.jsonl"),
    "only a head": ("a.csv", b"id,text\n", "a.csv"),
    "no such column": ("a.csv", b"id,words\n1,a\n", "text"),
    "no gzip": ("a.txt.gz", b"this is not gzip", "a.txt.gz"),
    "cut gzip": ("a.txt.gz", __import__("gzip").compress(b"words " * 5000)[:-30], "a.txt.gz"),
    "no zstandard": ("a.jsonl.zst", b"this is not zstd", "a.jsonl.zst"),
    "cut parquet": ("a.parquet", broken_parquet(), "a.parquet"),
    "no rows": ("a.parquet", no_rows(), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_imported_end_with_the_place(ana, team, tmp_path, case):
    name, content, said = FILES[case]
    version = pending_version(ana, team, stored(name, content))

    job = run_job(version.produced_by, tmp_path)

    version.refresh_from_db()
    assert (job.state, version.state) == ("failed", "failed")
    assert job.reason_code == "config_invalid"
    assert said in version.error
    assert (version.digest, version.manifest) == ("", {})


def test_an_upload_leaves_nothing_behind_when_it_is_refused(ana, team, api_for):
    dataset = dataset_create(actor=ana, team=team, name="texts")
    before = rows()
    for name, content, fields in [
        ("a.exe", b"MZ", {}), ("a.txt", b"", {}), ("a.txt", b"x", {"seed": "-1"}),
        ("a.txt", b"x", {"seed": "9" * 30}), ("a.txt", b"x", {"validation_fraction": "nan"}),
        ("a.txt", b"x", {"nobody": "1"}), ("a.txt", b"x", {"text_field": "a\x00"}),
    ]:  # fmt: skip
        answer = api_for(ana).post(
            f"{V1}/datasets/{dataset.pk}/versions",
            {"files": SimpleUploadedFile(name, content), **fields}, format="multipart",
        )  # fmt: skip
        after = rows()
        after.pop("access.ApiToken")
        assert 400 <= answer.status_code < 500, (name, fields, answer.content)
        assert check_problem(answer)
        assert after == {key: value for key, value in before.items() if key in after}


# ---- trainings

CONFIGS = {
    "longer than the data": ({"sequence_length": 100_000}, "sequence_length"),
    "does not fit memory": (
        {"preset": None, "architecture": {"model_type": "gpt2", "n_layer": 96, "n_embd": 12288,
                                          "n_head": 96}}, None,
    ),
    "unknown setting": ({"learning_rte": 0.1}, "learning_rte"),
    "negative steps": ({"steps": -1}, "steps"),
    "half a step": ({"steps": 1.5}, "steps"),
    "text for a number": ({"steps": "many"}, "steps"),
    "huge steps": ({"steps": 10**30}, "steps"),
    "huge seed": ({"seed": 2**63}, "seed"),
    "learning rate beyond reason": ({"learning_rate": 1e6}, "learning_rate"),
    "no preset": ({"preset": "gpt9"}, "preset"),
    "preset and architecture": ({"architecture": {"model_type": "gpt2"}}, "architecture"),
    "unknown architecture": (
        {"preset": None, "architecture": {"model_type": "perceptron"}}, "architecture",
    ),
    "batch that does not divide": ({"batch_size": 5, "gradient_accumulation": 2}, None),
    "null": ({"steps": None}, "steps"),
    "list": ({"steps": [6]}, "steps"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_trainings_that_cannot_be(ana, team, data, model, api_for, case):
    node_register(name="small", incarnation="1", slots=1,
                  capacity={"memory_mib": 16_000})  # fmt: skip
    changes, field = CONFIGS[case]
    body = {"team": team.slug, "model": model.name, "dataset_version": data.pk,
            "config": {**TINY, **changes}}  # fmt: skip
    api, before = api_for(ana), rows()

    answer = api.post(f"{V1}/training-runs", body)

    refused(answer, 422)
    named = " ".join(answer.json()["errors"])
    assert (field or "config") in named, answer.json()
    assert rows() == before


def test_the_form_of_a_training_keeps_nothing_of_a_refused_one(ana, team, data, client_for):
    spec = {**TINY, "sequence_length": 100_000}
    given = {"model": "new", "name": "poet", "dataset_version": str(data.pk), "base_version": "",
             "seed": 1, "schedule": "cosine", "min_learning_rate": 0, "gradient_accumulation": 1,
             "weight_decay": 0, "beta1": 0.9, "beta2": 0.9, "gradient_clip": 1, "dropout": 0,
             "sampling": "windows", "precision": "fp32", "keep_checkpoints": 1, "threads": 1,
             "loss_on": "all", "processes": 1, "parallel": "ddp", "patience": 0,
             "min_improvement": 0, "publish": "last", "on_divergence": "skip", "spike_factor": 0,
             "divergence_budget": 5, "checkpoint_in_background": "auto", "compile": "off",
             "sample_tokens": 8, "nodes": 1, **spec}  # fmt: skip
    client, before = client_for(ana), rows()

    answer = client.post("/training/new/", given)

    assert answer.status_code == 422
    assert 'id="id_sequence_length_error"' in answer.content.decode()
    assert rows() == before


# ---- lists, ids, rights


@pytest.mark.parametrize("query", ["cursor=nonsense", "cursor=%00", "cursor=cD0lRUQlQTAlODA%3D",
                                   "page_size=-1", "page_size=many", "page_size=0",
                                   "page_size=9" + "9" * 40])  # fmt: skip
@pytest.mark.parametrize(
    "route", ["jobs", "datasets", "models", "deployments", "approvals", "audit"]
)
def test_cursors_and_limits_with_nonsense(ana, team, api_for, route, query):
    refused(api_for(ana).get(f"{V1}/{route}?{query}"), 422, query.split("=")[0])


@pytest.mark.parametrize(
    "path",
    ["jobs", "datasets", "dataset-versions", "models", "model-versions", "evaluations", "configs",
     "config-revisions", "deployments", "approvals", "users", "tokens"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["999999", "9" * 30, "0", "abc", "-1", "%00"])
def test_ids_that_are_nobodys(ana, team, api_for, path, key):
    ana.is_admin = True
    ana.save()

    refused(api_for(ana).get(f"{V1}/{path}/{key}"), 404)


@pytest.mark.parametrize(
    ("scope", "path", "body"),
    [
        ("read", "datasets", {"team": "research", "name": "a"}),
        ("read", "models", {"team": "research", "name": "a"}),
        ("infer", "jobs", {"team": "research", "kind": "self_test", "params": {"steps": 1}}),
        ("write", "deployments", {"team": "research", "name": "a", "environment": "development"}),
        ("write", "tokens", {"name": "more", "scopes": ["admin"]}),
        ("deploy", "teams", {"slug": "mine", "title": "Mine"}),
    ],
)  # fmt: skip
def test_a_token_without_the_scope(ana, team, api_for, scope, path, body):
    api, before = api_for(ana, scope), rows()

    refused(api.post(f"{V1}/{path}", body), 403)

    assert rows() == before


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer nonsense", "Bearer \x7f", "Basic YTpi", "Bearer a b c"]
)
def test_no_token_at_all(ana, team, client, header):
    refused(client.get(f"{V1}/jobs", HTTP_AUTHORIZATION=header), 401)


# ---- a training that goes wrong


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_diverging_training_fails_and_leaves_no_version(worker, ana, team, data, model):
    version = training_start(
        actor=ana, team=team, model=model, dataset_version=data,
        spec={**TINY, "steps": 200, "learning_rate": 10.0, "min_learning_rate": 10.0,
              # Decay of 10 at a rate of 10 makes every weight 99 times as large at each step.
              "warmup_steps": 0, "schedule": "constant", "gradient_clip": 0.0,
              "weight_decay": 10.0, "evaluate_every": 0, "log_every": 1},
    )  # fmt: skip
    job = version.produced_by

    def over():
        job.refresh_from_db()
        return job.state in ("failed", "succeeded", "canceled")

    wait_for(over, "the training ends")
    version.refresh_from_db()

    assert (job.state, job.reason_code) == ("failed", "diverged"), job.reason
    assert (version.state, version.manifest) == ("failed", {})
    assert not ModelVersion.objects.filter(state="ready").exists()
    assert DatasetVersion.objects.get(pk=data.pk).state == "ready"
    assert json.dumps(version.metrics) in ("{}", "null")
