"""Pages of models, trainings and evaluations: what people see, may do, and never learn."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import re

import pytest

from models_app.configs.services import config_revise
from models_app.jobs.models import Job
from models_app.pools.services.registration import node_measured
from models_app.registry.models import Model, ModelVersion
from tests.factories.deployments import revision_of, serving
from tests.factories.nodes import pool_of, ready_node
from tests.factories.speed import SPEED
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.models_app.registry.conftest import data, evaluated, model, trained, version
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
ONE = "/models/research/poet/"
V1 = f"{ONE}versions/1/"
TABS = ["", "?tab=evaluations", "?tab=config", "?tab=files", "?tab=provenance"]
FORM = {
    **TINY, "model": "new", "name": "fresh", "preset": "gpt2-1m",
    "seed": 1, "schedule": "cosine", "min_learning_rate": 0, "gradient_accumulation": 1,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "gradient_clip": 1, "dropout": 0,
    "sampling": "windows", "precision": "fp32", "keep_checkpoints": 1, "threads": 1,
    "loss_on": "all",
    "processes": "1", "nodes": "1",
    "parallel": "ddp",
    "patience": 0, "min_improvement": 0, "publish": "last", "on_divergence": "skip",
    "spike_factor": 0, "divergence_budget": 5, "checkpoint_in_background": "auto",
    "compile": "off", "sample_tokens": 8,
}  # fmt: skip


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


class TestReading:
    def test_shows_empty_lists_with_the_next_step(self, ana, team, client_for):
        client = client_for(ana)

        assert "No models yet" in text(client.get("/models/"))
        assert "There is no data to train on" in text(client.get("/training/new/"))
        assert "nothing to evaluate" in text(client.get("/evaluations/new/"))

    def test_shows_a_trained_version_in_all_its_parts(
        self, eve, version, evaluated, client_for
    ):  # fmt: skip
        evaluation = evaluated(version)
        client = client_for(eve)

        assert "research/poet" in text(client.get("/models/"))
        assert ">v1</a>" in text(client.get(ONE))
        pages = [text(client.get(V1 + tab)) for tab in TABS]
        assert "Validation loss" in pages[0]
        assert "texts v1" in pages[0]
        assert f"/evaluations/{evaluation.pk}/" in pages[1]
        assert "sequence_length" in pages[2]
        assert "model.safetensors" in pages[3]
        assert version.log_digest[:16] in pages[4]
        assert "Perplexity" in text(client.get(f"/evaluations/{evaluation.pk}/"))
        body = b"".join(client.get(f"{V1}files/config.json").streaming_content)
        assert b"gpt2" in body

    def test_offers_viewers_nothing_they_may_not_do(self, eve, version, client_for):
        page = text(client_for(eve).get(V1))

        assert "/training/new/" not in page
        assert "quarantine" not in page.lower()

    def test_compares_two_versions(self, ana, trained, evaluated, client_for):
        for changes in ({}, {"seed": 2}):
            evaluated(trained(**changes))

        page = text(client_for(ana).get(f"{ONE}compare/?v=1&v=2"))

        assert "Scores on the same documents" in page
        assert ">seed<" in page
        assert re.search(r"no clear difference|is better|is worse", page)

    def test_shows_why_a_training_failed(self, ana, model, version, client_for):
        ModelVersion.objects.filter(pk=version.pk).update(state="failed", error="Out of <b>luck")

        page = text(client_for(ana).get(V1))

        assert "Out of &lt;b&gt;luck" in page

    def test_asks_few_questions_of_the_database(
        self, ana, trained, client_for, django_assert_max_num_queries
    ):
        trained()
        trained(seed=2)
        client = client_for(ana)
        client.get(ONE)

        with django_assert_max_num_queries(28):
            client.get(ONE)


class TestTraining:
    def test_starts_with_a_new_model(self, ben, data, client_for):
        answer = client_for(ben).post("/training/new/", {**FORM, "dataset_version": data.pk})

        version = ModelVersion.objects.get()
        assert answer["Location"] == f"/jobs/{version.produced_by_id}/"
        assert version.model.name == "fresh"
        assert version.config_revision.spec["steps"] == 6

    def test_goes_on_from_a_version(self, ben, version, data, client_for, tmp_path):
        form = {**FORM, "model": version.model_id, "name": "", "preset": "", "tokenizer": "",
                "base_version": version.pk, "dataset_version": data.pk}  # fmt: skip

        client_for(ben).post("/training/new/", form)

        further = ModelVersion.objects.get(number=2)
        assert further.base_version == version
        assert run_job(further.produced_by, tmp_path).state == "succeeded"

    def test_uses_a_configuration_as_it_is_or_makes_a_revision(self, ben, team, data, client_for):
        base = config_revise(actor=ben, team=team, kind="training", name="tiny", spec=TINY)
        client = client_for(ben)
        page = client.get(f"/training/new/?config={base.pk}")
        shown = {name: page.context["form"][name].value() for name in page.context["form"].fields}
        form = {name: value for name, value in shown.items() if value not in (None, "")}
        form |= {"dataset_version": data.pk, "model": "new"}

        client.post("/training/new/", {**form, "name": "one"})
        client.post("/training/new/", {**form, "name": "two", "steps": 7})

        one, two = ModelVersion.objects.order_by("pk")
        assert one.config_revision == base
        assert str(two.config_revision) == "two r1"
        assert two.config_revision.spec["steps"] == 7

    def test_runs_where_it_is_told(self, ben, data, client_for):
        pool_of("fast")
        form = {**FORM, "dataset_version": data.pk, "pool": "fast", "priority": "9"}

        client_for(ben).post("/training/new/", form)

        job = Job.objects.get(kind="train")
        assert (job.pool.name, job.priority) == ("fast", 9)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"pool": "nowhere"}, "pool"),
            ({"priority": "80"}, "priority"),
            ({"resources.cpus": "99"}, "resources.cpus"),
            ({"warmup_steps": 6}, "warmup_steps"),
            ({"sequence_length": 100_000}, "sequence_length"),
            ({"learning_rate": "nan"}, "learning_rate"),
            ({"batch_size": 0}, "batch_size"),
            ({"name": "Bad Name"}, "name"),
            ({"name": ""}, "name"),
            ({"preset": "gpt9"}, "preset"),
            ({"preset": "own", "architecture": "{"}, "architecture"),
            ({"preset": "own", "architecture": "{}"}, "architecture"),
            ({"dataset_version": 0}, "dataset_version"),
        ],
    )
    def test_puts_errors_beside_the_field(self, ben, data, client_for, changes, field):
        ready_node("n1")
        form = {**FORM, "dataset_version": data.pk, **changes}

        answer = client_for(ben).post("/training/new/", form)

        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in text(answer)
        assert not Model.objects.exists()
        assert not Job.objects.filter(kind="train").exists()

    def test_tells_beforehand_what_it_takes(self, ben, data, client_for):
        client = client_for(ben)
        fine = text(client.post("/training/plan/", {**FORM, "dataset_version": data.pk}))
        bad = text(
            client.post("/training/plan/", {**FORM, "dataset_version": data.pk, "warmup_steps": 6})
        )

        assert "MiB" in fine
        assert "of keys and values for each full context of 16 tokens" in fine
        assert "Epochs" in fine
        assert "Use fewer than the 6 steps" in bad

    def test_an_adapter_that_goes_on_fills_in_what_it_has_settled(self, ben, version, client_for):
        adapter = ModelVersion.objects.create(
            model=Model.objects.create(team=version.model.team, name="tuned", family="adapter"),
            number=1, state="ready", base_version=version,
            manifest={"adapter_config.json": {"sha256": "0" * 64, "size": 2}},
            facts={"rank": 4, "ranks": [4], "alpha": 12, "target_modules": ["c_attn"]},
        )  # fmt: skip

        page = text(client_for(ben).get(f"/training/new/?base_version={adapter.pk}"))
        head = text(client_for(ben).get("/models/research/tuned/versions/1/"))

        assert re.search(rf'<option value="{adapter.pk}" selected>research/tuned v1<', page)
        assert re.search(r'name="lora_rank" value="4"', page)
        assert re.search(r'name="lora_alpha" value="12(\.0)?"', page)
        assert re.search(r'name="lora_targets" value="c_attn"', page)
        assert f"base_version={adapter.pk}" in head

    def test_is_filled_in_from_a_version(self, ben, version, client_for):
        page = text(client_for(ben).get(f"/training/new/?from={version.pk}"))

        assert re.search(r'name="steps" value="6"', page)
        assert client_for(ben).get("/training/new/?from=999999").status_code == 200


class TestActions:
    def test_note_quarantine_restore_and_train_again(self, ana, version, client_for):
        client = client_for(ana)

        client.post(f"{V1}notes/", {"notes": "Good at rhymes"})
        client.post(f"{V1}quarantine/", {"reason": "Leaks"})
        version.refresh_from_db()
        assert (version.notes, version.state) == ("Good at rhymes", "quarantined")
        client.post(f"{V1}restore/", {"reason": "Checked"})
        version.refresh_from_db()
        assert version.state == "ready"
        answer = client.post(f"{V1}again/")
        assert answer["Location"].startswith("/jobs/")
        client.post(f"{ONE}describe/", {"description": "Verse"})
        assert Model.objects.get().description == "Verse"

    def test_quarantine_of_what_serves_lists_it_and_asks(self, ana, team, client_for):
        deployment = serving(ana, team)
        client = client_for(ana)

        page = text(client.get(V1))
        assert 'id="quarantine"' in page
        assert re.search(r'href="/deployments/research/writer/">writer</a>.{0,40}development', page)
        assert "r1 serves it. The deployment is taken out of service." in page
        refused = client.post(f"{V1}quarantine/", {"reason": "Leaks"}, follow=True)
        assert "writer (development)" in text(refused)
        assert ModelVersion.objects.get().state == "ready"

        client.post(f"{V1}quarantine/", {"reason": "Leaks", "stop_serving": "yes"})

        deployment.refresh_from_db()
        assert ModelVersion.objects.get().state == "quarantined"
        assert deployment.stopped_at is not None
        assert 'id="quarantine"' not in text(client.get(V1))

    def test_quarantine_of_what_rolls_out_says_that_the_old_one_stays(self, ana, team, client_for):
        deployment = serving(ana, team)
        revision_of(ana, deployment)

        page = text(client_for(ana).get(f"{ONE}versions/2/"))

        assert "The roll-out is aborted; what serves now goes on serving." in page

    def test_evaluate_by_the_form(self, ben, version, data, client_for):
        form = {"version": version.pk, "dataset_version": data.pk, "split": "validation",
                "max_documents": "", "threads": 1}  # fmt: skip

        answer = client_for(ben).post("/evaluations/new/", form)
        bad = client_for(ben).post("/evaluations/new/", {**form, "threads": 0})

        assert answer["Location"].startswith("/jobs/")
        assert bad.status_code == 422

    def test_make_a_model(self, ben, team, client_for):
        client = client_for(ben)

        made = client.post("/models/new/", {"team": "research", "name": "poet"})
        twice = client.post("/models/new/", {"team": "research", "name": "poet"})

        assert made["Location"] == ONE
        assert twice.status_code == 422
        assert 'id="id_name_error"' in text(twice)

    def test_viewers_may_do_none_of_it(self, eve, version, client_for):
        client = client_for(eve)

        posts = [f"{V1}notes/", f"{V1}quarantine/", f"{V1}restore/", f"{V1}again/",
                 f"{ONE}describe/"]  # fmt: skip
        assert [client.post(url, {"reason": "x"}).status_code for url in posts] == [403] * 5
        pages = ["/training/new/", "/evaluations/new/", "/models/new/"]
        assert [client.get(url).status_code for url in pages] == [403] * 3


class TestOutsiders:
    def test_find_nothing(self, cai, version, evaluated, client_for):
        evaluation = evaluated(version)
        urls = [
            ONE, f"{ONE}compare/", *(V1 + tab for tab in TABS), f"{V1}files/config.json",
            f"/evaluations/{evaluation.pk}/",
        ]  # fmt: skip
        posts = [f"{ONE}describe/", f"{V1}notes/", f"{V1}quarantine/", f"{V1}restore/",
                 f"{V1}again/"]  # fmt: skip

        assert_hidden(client_for(cai), urls, posts)
        assert "poet" not in text(client_for(cai).get("/models/"))
        assert "texts v1" not in text(client_for(cai).get("/training/new/"))

    def test_sign_in_first(self, db):
        assert_needs_sign_in(["/models/", ONE, V1, "/training/new/", "/evaluations/new/"])


class TestBeforeATraining:
    def ask(self, client, data, **changes):
        form = {**FORM, "dataset_version": data.pk, "tokenizer": "char", **changes}
        return text(client.post("/training/plan/", form))

    def test_says_memory_time_energy_and_place(self, ben, data, client_for):
        node = ready_node("n1")
        node_measured(name="n1", incarnation=node.incarnation, speed=SPEED)
        answer = self.ask(client_for(ben), data)

        for words in ("Parameters", "Activations", "Optimiser", "FLOP a token", "assumed for each"):
            assert words in answer
        assert 'class="bar-1 tone-green" x="' in answer
        assert "style=" not in answer
        assert "no like training has run there yet" in answer
        assert 'class="chip tone-green">fits<' in answer

    def test_says_why_it_fits_nowhere_or_is_not_timed(self, ben, data, client_for):
        client = client_for(ben)
        assert "No node of this pool is ready" in self.ask(client, data)
        ready_node("n1", labels={"zone": "a"})
        assert "no node has been measured yet" in self.ask(client, data)
        answer = self.ask(client, data, **{"resources.node_selector": "zone=b"})
        assert "No node of the pool default carries these labels" in answer

    def test_a_counted_model_has_time_and_no_arithmetic(self, ben, data, client_for):
        node = ready_node("n1")
        node_measured(name="n1", incarnation=node.incarnation, speed=SPEED)
        settings = "order: 3\nunit: char\nvocab_size: 300\n"
        form = {
            "model": "new", "name": "fresh", "dataset_version": data.pk,
            "view": "yaml", "yaml": settings,
        }  # fmt: skip
        answer = text(client_for(ben).post("/training/plan/ngram/", form))

        assert "Counting" in answer
        assert "Learning" in answer
        assert "FLOP" not in answer
