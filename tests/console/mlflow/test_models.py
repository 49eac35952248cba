"""Models: logged with a run, registered of its files, pointed to by aliases, fetched, staged."""

import json

import pytest

from models_app.core.digests import tree_digest
from models_app.registry.models import Draft, LoggedRun, Model, ModelVersion
from models_app.registry.services import alias_set, model_create, version_quarantine
from tests.console.mlflow.test_wire import refused
from tests.factories.access import MembershipFactory, TeamFactory
from tests.factories.deployments import environment, ready_version
from tests.factories.imports import model_folder
from tests.fakes.jobs import run_job

FILES = "/mlflow/api/2.0/mlflow-artifacts/artifacts"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_stock_client_logs_registers_and_fetches_a_model(program_of, ben, team, tmp_path):
    tiny = model_folder(tmp_path / "tiny")
    program = program_of(ben)
    run_id, model_id = program.run(
        """
        import json, os
        import mlflow
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tiny = os.environ["TINY"]
        parts = {
            "model": AutoModelForCausalLM.from_pretrained(tiny),
            "tokenizer": AutoTokenizer.from_pretrained(tiny),
        }
        with mlflow.start_run() as run:
            logged = mlflow.transformers.log_model(
                parts, name="tiny", task="text-generation", pip_requirements=["torch"],
                registered_model_name="tiny", await_registration_for=0,
            )
        pipeline = mlflow.transformers.load_model(f"models:/{logged.model_id}")
        assert type(pipeline.model).__name__ == "LlamaForCausalLM"
        print(json.dumps([run.info.run_id, logged.model_id]))
        """,
        TINY=str(tiny),
    )
    version = ModelVersion.objects.get(model__team=team, model__name="tiny")
    assert version.waits_for_files
    assert run_job(version.filled_by, tmp_path / "job").state == "succeeded"
    told = program.run(
        """
        import json, pathlib
        import mlflow

        client = mlflow.MlflowClient()
        client.set_registered_model_alias("tiny", "champion", 1)
        client.set_model_version_tag("tiny", "1", "checked", "yes")
        version = client.get_model_version_by_alias("tiny", "champion")
        folder = pathlib.Path(mlflow.artifacts.download_artifacts("models:/tiny@champion"))
        (found,) = client.search_model_versions("name = 'tiny'")
        run = client.get_run(version.run_id)
        print(json.dumps([
            version.status, version.run_id, sorted(p.name for p in folder.iterdir()),
            found.tags, list(found.aliases), [m.name for m in client.search_registered_models()],
            run.outputs.model_outputs[0].model_id, client.get_logged_model(
                run.outputs.model_outputs[0].model_id).status.value,
            client.get_latest_versions("tiny")[0].version,
        ]))
        """
    )

    status, run, files, *rest = told
    assert (status, run) == ("READY", run_id)
    version.refresh_from_db()
    assert set(files) - {"registered_model_meta"} == set(version.manifest)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert rest == [{"checked": "yes"}, ["champion"], ["tiny"], model_id, "READY", "1"]
    assert version.produced_by.kind == "external"
    assert not Draft.objects.exists()


pytestmark = pytest.mark.django_db


@pytest.fixture
def wire(wire_for, ben, settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    return wire_for(ben)


@pytest.fixture
def put(wire):
    """`put(run, folder, files)` leaves files with a run."""

    def leave(key, folder, files):
        root = f"{LoggedRun.objects.get(key=key).experiment_id}/{key}/artifacts"
        for name, data in files.items():
            answer = wire.client.put(
                f"{FILES}/{root}/{folder}/{name}", data, content_type="application/octet-stream"
            )
            assert answer.status_code == 200, answer.content

    return leave


WHOLE = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}"}


# ---- versions of files that a run keeps --------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (WHOLE, set(WHOLE)),
        (
            {"checkpoint-3/" + name: data for name, data in WHOLE.items()}
            | {"checkpoint-3/optimizer.pt": b"pickle", "python_model.pkl": b"pickle"},
            set(WHOLE),
        ),
        (
            {
                "MLmodel": b"", "model/config.json": b"{}", "model/model.safetensors": b"w",
                "components/tokenizer/tokenizer.json": b"{}", "requirements.txt": b"",
            },
            set(WHOLE),
        ),
    ],
)  # fmt: skip
def test_a_version_is_made_of_the_model_among_the_files(wire, put, team, files, taken):
    key = wire.run()
    put(key, "out", files)
    wire.made("registered-models/create", name="poet", description="Verses")
    made = wire.made("model-versions/create", name="poet", source=f"runs:/{key}/out")
    version = ModelVersion.objects.get(model__team=team, model__name="poet")
    assert set(version.source["manifest"]) == taken
    row = made["model_version"]
    assert (row["version"], row["status"], row["run_id"]) == ("1", "PENDING_REGISTRATION", key)
    assert version.produced_by_id == LoggedRun.objects.get(key=key).pk


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, "config.json"),
        ({"model.pkl": b"x"}, "config.json"),
        ({"config.json": b"{}", "model.safetensors": b"w"}, "tokenizer.json"),
        ({f"{n}/{name}": b"{}" for n in "ab" for name in WHOLE}, "a, "),
    ],
)
def test_what_is_no_model_becomes_no_version(wire, put, files, named):
    key = wire.run()
    put(key, "out", files)
    wire.made("registered-models/create", name="poet")
    answer = wire.post("model-versions/create", name="poet", source=f"runs:/{key}/out")
    assert named in refused(answer, "INVALID_PARAMETER_VALUE")
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize(
    "source", ["s3://bucket/model", "/etc", "models:/other/1", "file:///tmp", "runs:/short/a"]
)
def test_files_from_elsewhere_are_not_taken(wire, source):
    wire.made("registered-models/create", name="poet")
    answer = wire.post("model-versions/create", name="poet", source=source)
    refused(answer, "INVALID_PARAMETER_VALUE")


def test_files_of_foreign_runs_are_not_taken(wire, wire_for, cai, put, other_team):
    key = wire.run()
    put(key, "out", WHOLE)
    other = wire_for(cai)
    other.made("registered-models/create", name="thief")
    answer = other.post("model-versions/create", name="thief", source=f"runs:/{key}/out")
    refused(answer, "RESOURCE_DOES_NOT_EXIST", 404)


def test_a_run_that_failed_makes_no_version(wire, put):
    key = wire.run()
    put(key, "out", WHOLE)
    wire.made("runs/update", run_id=key, status="FAILED")
    wire.made("registered-models/create", name="poet")
    answer = wire.post("model-versions/create", name="poet", source=f"runs:/{key}/out")
    assert "failed" in refused(answer, "INVALID_PARAMETER_VALUE")


def test_files_that_the_scan_refuses_fail_the_version(wire, put, tmp_path):
    key = wire.run()
    put(key, "out", WHOLE)  # neither is what its name says
    wire.made("registered-models/create", name="poet")
    wire.made("model-versions/create", name="poet", source=f"runs:/{key}/out")
    version = ModelVersion.objects.get()
    assert run_job(version.filled_by, tmp_path / "job").state == "failed"
    _status, answer = wire.get("model-versions/get", name="poet", version="1")
    assert answer["model_version"]["status"] == "FAILED_REGISTRATION"
    assert answer["model_version"]["status_message"]


# ---- models that are logged --------------------------------------------------------------------


def test_a_logged_model_belongs_to_its_run(wire, wire_for, cai):
    key = wire.run()
    asked = {"name": "tiny", "source_run_id": key, "tags": [{"key": "a", "value": "b"}]}
    first = wire.made("logged-models", **asked)["model"]["info"]
    second = wire.made("logged-models", **asked)["model"]["info"]
    assert first["model_id"] != second["model_id"]
    assert first["artifact_uri"].endswith(f"/{key}/artifacts/models/{first['model_id']}")
    wire.made("runs/outputs", run_id=key, models=[{"model_id": second["model_id"], "step": 4}])
    path = f"logged-models/{second['model_id']}"
    status = json.dumps({"status": "LOGGED_MODEL_READY"})
    for at, data in ((path, status), (f"{path}/tags", '{"tags": [{"key": "c", "value": "d"}]}')):
        answer = wire.client.patch(
            f"/mlflow/api/2.0/mlflow/{at}", data, content_type="application/json"
        )
        assert answer.status_code == 200, answer.content
    _status, answer = wire.get(path)
    info = answer["model"]["info"]
    assert info["status"] == "LOGGED_MODEL_READY"
    assert {tag["key"] for tag in info["tags"]} == {"a", "c"}
    outputs = wire.read(key)["outputs"]["model_outputs"]
    assert {one["model_id"]: one["step"] for one in outputs} == {
        first["model_id"]: 0, second["model_id"]: 4
    }  # fmt: skip
    found = wire.made("logged-models/search", experiment_ids=[info["experiment_id"]])
    assert len(found["models"]) == 2
    refused(wire_for(cai).get(path), "RESOURCE_DOES_NOT_EXIST", 404)
    refused(wire.get("logged-models/m-1"), "RESOURCE_DOES_NOT_EXIST", 404)
    refused(wire.get(f"logged-models/m-{key}0007"), "RESOURCE_DOES_NOT_EXIST", 404)


def test_a_model_is_logged_inside_a_run(wire):
    refused(wire.post("logged-models", name="tiny"), "INVALID_PARAMETER_VALUE")


# ---- models, aliases, stages -------------------------------------------------------------------


@pytest.fixture
def version(wire, team):
    return ready_version(team, name="poet")


def test_models_are_made_once_and_found(wire, version):
    refused(wire.post("registered-models/create", name="poet"), "RESOURCE_ALREADY_EXISTS")
    refused(wire.post("registered-models/create", name="Poet!"), "INVALID_PARAMETER_VALUE")
    wire.made("registered-models/create", name="research.second")
    _status, answer = wire.get("registered-models/search", filter="name LIKE 'p%'")
    assert [model["name"] for model in answer["registered_models"]] == ["poet"]
    for name in ("poet", "research.poet"):
        _status, answer = wire.get("registered-models/get", name=name)
        assert answer["registered_model"]["name"] == "poet"
    missing = wire.get("registered-models/get", name="nobody")
    refused(missing, "RESOURCE_DOES_NOT_EXIST", 404)


def test_of_several_teams_a_model_is_named_with_its_own(wire_for, ben, version, settings):
    second = TeamFactory(slug="se.cond")
    MembershipFactory(user=ben, team=second, role="developer")
    Model.objects.create(team=second, name="poet")
    wire = wire_for(ben)
    refused(wire.get("registered-models/get", name="poet"), "INVALID_PARAMETER_VALUE")
    _status, answer = wire.get("registered-models/get", name="se.cond.poet")
    assert answer["registered_model"]["name"] == "se.cond.poet"
    refused(wire.post("registered-models/create", name="new"), "INVALID_PARAMETER_VALUE")
    wire.made("registered-models/create", name="se.cond.new")
    assert Model.objects.get(name="new").team == second


def test_aliases_are_set_read_and_taken_away(wire, version):
    asked = {"name": "poet", "alias": "champion"}
    missing = wire.get("registered-models/alias", **asked)
    refused(missing, "RESOURCE_DOES_NOT_EXIST", 404)
    wire.made("registered-models/alias", **asked, version="1")
    _status, answer = wire.get("registered-models/alias", **asked)
    assert answer["model_version"]["version"] == "1"
    assert answer["model_version"]["aliases"] == ["champion"]
    refused(
        wire.post("registered-models/alias", name="poet", alias="latest", version="1"),
        "INVALID_PARAMETER_VALUE",
    )
    answer = wire.client.delete(
        "/mlflow/api/2.0/mlflow/registered-models/alias", asked, format="json"
    )
    assert answer.status_code == 200
    refused(wire.get("registered-models/alias", **asked), "RESOURCE_DOES_NOT_EXIST", 404)


def test_a_stage_that_needs_approval_is_refused_with_its_address(wire, version):
    for name in ("staging", "production"):
        environment(name)
    asked = {"name": "poet", "version": "1"}
    done = wire.made("model-versions/transition-stage", **asked, stage="Staging")
    assert done["model_version"]["current_stage"] == "Staging"
    said = {
        refused(
            wire.post("model-versions/transition-stage", **asked, stage="Production"),
            "PERMISSION_DENIED", 403,
        )
        for _time in range(2)
    }  # fmt: skip
    (message,) = said  # asked once, however often it is tried
    move = version.stage_moves.get(state="waiting")
    assert f"/approvals/CR-{move.approval}/" in message
    answer = wire.post("model-versions/transition-stage", **asked, stage="Best")
    refused(answer, "INVALID_PARAMETER_VALUE")
    answer = wire.post(
        "model-versions/transition-stage", **asked, stage="Archived", archive_existing_versions=True
    )
    refused(answer, "INVALID_PARAMETER_VALUE")
    _status, answer = wire.get(
        "registered-models/get-latest-versions", name="poet", stages=["Staging"]
    )
    assert [one["version"] for one in answer["model_versions"]] == ["1"]


def test_files_of_a_version_are_listed_and_fetched_and_never_changed(
    wire, wire_for, ben, ana, cai, version
):
    _status, answer = wire.get("model-versions/get-download-uri", name="poet", version="1")
    root = answer["artifact_uri"].removeprefix("mlflow-artifacts:/")
    listed = wire.client.get(FILES, {"path": root}).json()["files"]
    assert {one["path"] for one in listed if not one["is_dir"]} <= set(version.manifest)
    assert tree_digest(version.manifest) == version.digest
    assert wire.client.put(f"{FILES}/{root}/a", b"x", content_type="a/b").status_code == 403
    assert wire_for(cai).client.get(FILES, {"path": root}).status_code == 404
    version_quarantine(actor=ana, version=version, reason="Wrong data")
    answer = wire.client.get(FILES, {"path": root})
    assert answer.status_code == 403
    assert "Wrong data" in answer.json()["message"]


def test_outsiders_do_not_know_of_models(wire, wire_for, cai, ben, version):
    alias_set(actor=ben, model=version.model, name="champion", version=version)
    other, missing = wire_for(cai), ("RESOURCE_DOES_NOT_EXIST", 404)
    asked = {"name": "research.poet", "version": "1"}
    refused(other.get("registered-models/get", name="poet"), *missing)
    refused(other.get("registered-models/alias", name="poet", alias="champion"), *missing)
    refused(other.get("model-versions/get", **asked), *missing)
    refused(other.get("model-versions/get-download-uri", **asked), *missing)
    for name, fields in (
        ("transition-stage", {"stage": "Staging"}), ("set-tag", {"key": "a", "value": "b"}),
    ):  # fmt: skip
        refused(other.post(f"model-versions/{name}", **asked, **fields), *missing)
    assert other.get("registered-models/search")[1]["registered_models"] == []
    assert other.get("model-versions/search")[1]["model_versions"] == []


def test_versions_are_found_by_model_and_run(wire, ben, team, version):
    model_create(actor=ben, team=team, name="empty")

    def found(text):
        _status, answer = wire.get("model-versions/search", filter=text)
        return [(one["name"], one["version"]) for one in answer["model_versions"]]

    assert found("") == found("name = 'poet'") == [("poet", "1")]
    assert found("name = 'empty'") == found("run_id = 'nobody'") == []
    refused(wire.get("model-versions/search", filter="stage = 'a'"), "INVALID_PARAMETER_VALUE")
