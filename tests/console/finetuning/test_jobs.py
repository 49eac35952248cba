"""Fine-tunings as programs ask for them, watch them, and end them."""

import pytest

from models_app.core.actor import SYSTEM
from models_app.core.digests import tree_digest
from models_app.finetuning.models import Tuning, TuningFile
from models_app.finetuning.services import tunings_advance
from models_app.jobs.models import Job
from models_app.pools.services.registration import node_register
from models_app.registry.models import Model, ModelVersion
from models_app.registry.services import model_create
from tests.console.finetuning.conftest import error, lines
from tests.factories.data import finished
from tests.fakes.jobs import run_job
from tests.workers.lm.training.conversations import sums
from workers.capacity import capacity

pytestmark = pytest.mark.django_db


class TestJobs:
    def test_asks_for_an_adapter_of_the_newest_version(self, asking, started, base):
        version = ModelVersion.objects.get(tuning__key=started["id"])

        assert started["status"] == "queued"
        assert started["model"] == "research/talker:v1"
        assert started["fine_tuned_model"] is None and started["error"] is None
        assert (version.model.name, version.model.family) == ("talker-ft", "adapter")
        spec = version.config_revision.spec
        assert (spec["loss_on"], spec["sampling"], spec["lora_rank"]) == (
            "answers", "documents", 16,
        )  # fmt: skip
        # 18 of 20 examples are trained on, one at a time, three times.
        assert started["hyperparameters"] == {
            "n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.0,
        }  # fmt: skip
        assert spec["steps"] == 3 * version.dataset_version.counts["train"]["documents"]
        assert spec["seed"] == started["seed"]

    def test_takes_numbers_suffix_seed_and_metadata(self, asking, imported, base):
        hyperparameters = {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 10,
                           "lora_rank": 8}  # fmt: skip
        body = {
            "model": "research/talker:v1", "training_file": imported, "suffix": "numbers",
            "seed": 7, "metadata": {"who": "me"},
            "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        }  # fmt: skip

        row = asking.post("fine_tuning/jobs", body).json()

        version = ModelVersion.objects.get(tuning__key=row["id"])
        spec = version.config_revision.spec
        assert version.model.name == "talker-numbers"
        assert (spec["batch_size"], spec["lora_rank"], spec["seed"]) == (4, 8, 7)
        assert spec["learning_rate"] == pytest.approx(2e-3)
        assert row["method"]["supervised"]["hyperparameters"] == hyperparameters
        assert row["metadata"] == {"who": "me"}
        listed = asking.get("fine_tuning/jobs", **{"metadata[who]": "me"}).json()
        assert [one["id"] for one in listed["data"]] == [row["id"]]
        assert asking.get("fine_tuning/jobs", **{"metadata[who]": "you"}).json()["data"] == []

    def test_a_tuned_version_is_tuned_further_as_what_it_is(self, asking, imported, team, base):
        manifest = {"adapter_config.json": {"sha256": "0" * 64, "size": 2}}
        adapter = ModelVersion.objects.create(
            model=Model.objects.create(team=team, name="talker-ft", family="adapter"), number=1,
            state="ready", manifest=manifest, digest=tree_digest(manifest), base_version=base,
            facts={"rank": 4, "ranks": [4], "alpha": 12, "target_modules": ["c_attn", "c_proj"]},
        )  # fmt: skip
        body = {"model": "research/talker-ft:v1", "training_file": imported, "suffix": "more"}

        row = asking.post("fine_tuning/jobs", body).json()
        other = {"method": {"type": "supervised", "supervised": {
            "hyperparameters": {"lora_rank": 8}}}}  # fmt: skip
        refused = asking.post("fine_tuning/jobs", {**body, **other}).json()

        assert row["status"] == "queued", row
        version = ModelVersion.objects.get(tuning__key=row["id"])
        spec = version.config_revision.spec
        assert (version.base_version, version.begun_with) == (base, adapter)
        assert (spec["lora_rank"], spec["lora_alpha"]) == (4, 12)
        assert (spec["lora_targets"], spec["sequence_length"]) == ("c_attn,c_proj", 48)
        assert (refused["status"], refused["error"]["param"]) == (
            "failed", "hyperparameters.lora_rank",
        )  # fmt: skip
        assert "use 4" in refused["error"]["message"]

    def test_waits_for_its_file_and_then_begins_by_itself(self, asking, uploaded, base, tmp_path):
        body = {"model": "research/talker", "training_file": uploaded}
        row = asking.post("fine_tuning/jobs", body).json()
        assert row["status"] == "validating_files"
        assert tunings_advance() == 0

        finished(TuningFile.objects.get(key=uploaded).version, tmp_path)
        assert tunings_advance() == 1

        assert asking.get(f"fine_tuning/jobs/{row['id']}").json()["status"] == "queued"
        assert tunings_advance() == 0

    def test_a_file_that_cannot_be_imported_fails_it(self, asking, uploaded, base):
        body = {"model": "research/talker", "training_file": uploaded}
        row = asking.post("fine_tuning/jobs", body).json()
        version = TuningFile.objects.get().version
        type(version).objects.filter(pk=version.pk).update(state="failed", error="Line 9 is odd.")

        tunings_advance()

        told = asking.get(f"fine_tuning/jobs/{row['id']}").json()
        assert told["status"] == "failed" and told["finished_at"]
        assert told["error"] == {
            "code": "invalid_training_file", "message": "Line 9 is odd.", "param": "training_file",
        }  # fmt: skip
        events = asking.get(f"fine_tuning/jobs/{row['id']}/events").json()["data"]
        assert events[0]["level"] == "error" and events[0]["message"] == "Line 9 is odd."

    def test_what_the_plan_refuses_fails_it_with_the_setting(self, asking, imported, base):
        base.facts = {**base.facts, "architecture": {**base.facts["architecture"], "n_embd": 10**6}}
        base.save()
        node_register(name="small", incarnation="1", slots=1, capacity=capacity())
        body = {"model": "research/talker", "training_file": imported}

        told = asking.post("fine_tuning/jobs", body).json()

        assert told["status"] == "failed"
        assert told["error"]["code"] in ("invalid_value", "invalid_hyperparameters")
        assert "memory" in told["error"]["message"]

    def test_a_name_that_holds_whole_models_is_a_matter_of_the_suffix(
        self, asking, imported, base, team
    ):
        other = model_create(actor=SYSTEM, team=team, name="talker-whole")
        ModelVersion.objects.create(model=other, number=1, state="ready")
        body = {"model": "research/talker", "training_file": imported, "suffix": "whole"}

        told = asking.post("fine_tuning/jobs", body).json()

        assert told["status"] == "failed"
        assert (told["error"]["param"], told["error"]["code"]) == ("suffix", "invalid_value")

    def test_a_validation_file_is_what_is_held_out(self, asking, imported, base, tmp_path):
        held_out = asking.upload(lines(sums(5, 8)), "held.jsonl").json()["id"]
        body = {"model": "research/talker", "training_file": imported, "validation_file": held_out}

        row = asking.post("fine_tuning/jobs", body).json()

        tuning = Tuning.objects.get(key=row["id"])
        assert row["status"] == "validating_files" and row["validation_file"] == held_out
        version = finished(tuning.dataset_version, tmp_path)
        rows = {split: version.counts[split]["documents"] for split in ("train", "validation")}
        assert rows["train"] > rows["validation"] > 0
        assert tunings_advance() == 1

    @pytest.mark.parametrize(
        ("change", "param", "code"),
        [
            ({"model": "research/nobody"}, "model", "model_not_found"),
            ({"model": "talker"}, "model", "invalid_value"),
            ({"model": "research/talker:v9"}, "model", "model_not_found"),
            ({"model": 3}, "model", "invalid_value"),
            ({"training_file": "file-none"}, "training_file", "file_not_found"),
            ({"training_file": None}, "training_file", "invalid_value"),
            ({"suffix": "Too Loud"}, "suffix", "invalid_value"),
            ({"seed": -1}, "seed", "invalid_value"),
            ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "invalid_value"),
            ({"hyperparameters": {"n_epochs": "x"}}, "hyperparameters.n_epochs", "invalid_value"),
            ({"hyperparameters": {"n_epochs": -1}}, "hyperparameters.n_epochs", "invalid_value"),
            ({"hyperparameters": {"batch_size": 0}}, "hyperparameters.batch_size", "invalid_value"),
            ({"hyperparameters": {"lora_rank": -1}}, "hyperparameters.lora_rank", "invalid_value"),
            *(
                ({"hyperparameters": {"learning_rate_multiplier": bad}},
                 "hyperparameters.learning_rate_multiplier", "invalid_value")
                for bad in (0, -1, float("nan"), float("inf"), "NaN", "fast", None)
            ),
            ({"hyperparameters": {"beta": 1}}, "hyperparameters.beta", "unknown_parameter"),
            ({"method": {"type": "dpo"}}, "method.type", "invalid_value"),
            ({"metadata": {"x": "y" * 600}}, "metadata", "invalid_value"),
            ({"integrations": [{}]}, "integrations", "invalid_value"),
            ({"colour": "red"}, "colour", "unknown_parameter"),
        ],
    )  # fmt: skip
    def test_bad_parameters_are_named(self, asking, imported, base, change, param, code):
        body = {"model": "research/talker", "training_file": imported, **change}

        answer = asking.post("fine_tuning/jobs", body)

        found = error(answer, 404 if code == "model_not_found" else 400)
        assert found["param"].startswith(param)
        assert found["code"] == code
        assert not Tuning.objects.exists()

    def test_pauses_resumes_and_cancels(self, asking, started):
        place = f"fine_tuning/jobs/{started['id']}"

        assert asking.post(f"{place}/pause").json()["status"] == "paused"
        assert asking.post(f"{place}/resume").json()["status"] == "queued"
        assert asking.post(f"{place}/cancel").json()["status"] == "cancelled"
        found = error(asking.post(f"{place}/cancel"))
        assert found["code"] == "wrong_state" and "ended" in found["message"]
        assert Job.objects.get(kind="train").state == "canceled"

    def test_is_cancelled_before_it_has_begun(self, asking, uploaded, base):
        body = {"model": "research/talker", "training_file": uploaded}
        place = f"fine_tuning/jobs/{asking.post('fine_tuning/jobs', body).json()['id']}"

        assert error(asking.post(f"{place}/pause"))["code"] == "wrong_state"
        assert asking.post(f"{place}/cancel").json()["status"] == "cancelled"
        assert tunings_advance() == 0

    def test_whoever_lost_the_right_meanwhile_trains_nothing(
        self, asking, ana, uploaded, base, tmp_path
    ):
        body = {"model": "research/talker", "training_file": uploaded}
        place = f"fine_tuning/jobs/{asking.post('fine_tuning/jobs', body).json()['id']}"
        finished(TuningFile.objects.get(key=uploaded).version, tmp_path)
        ana.memberships.update(role="viewer")

        tunings_advance()

        assert asking.get(place).json()["error"]["code"] == "permission_denied"
        assert not Job.objects.filter(kind="train").exists()


class TestWatching:
    @pytest.fixture
    def done(self, started, tmp_path):
        job = Tuning.objects.get().model_version.produced_by
        assert run_job(job, tmp_path, keep=True).state == "succeeded"
        return f"fine_tuning/jobs/{started['id']}"

    def test_tells_the_name_tokens_figures_and_checkpoints(self, asking, done):
        row = asking.get(done).json()
        events = asking.get(f"{done}/events", limit=1000).json()
        points = asking.get(f"{done}/checkpoints").json()["data"]

        assert row["status"] == "succeeded" and row["finished_at"]
        assert row["fine_tuned_model"] == "research/talker-ft:v1"
        assert row["trained_tokens"] == 3 * Tuning.objects.get().model_version.metrics[
            "train_tokens"
        ]  # fmt: skip
        figures = [event["data"] for event in events["data"] if event["type"] == "metrics"]
        steps = {data["step"] for data in figures if "train_loss" in data}
        assert steps == set(range(1, 55)) and any("valid_loss" in data for data in figures)
        assert events["data"][-1]["message"].startswith("Created fine-tuning job")
        assert not events["has_more"]
        assert points[0]["step_number"] == 54 and points[0]["metrics"]["train_loss"] > 0

    def test_events_turn_pages_without_a_gap(self, asking, done):
        whole = [one["id"] for one in asking.get(f"{done}/events", limit=1000).json()["data"]]
        pages, after = [], {}
        while True:
            page = asking.get(f"{done}/events", limit=7, **after).json()
            pages += [one["id"] for one in page["data"]]
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}

        assert pages == whole
        assert error(asking.get(f"{done}/events", after="ftevent-0-1"), 404)
