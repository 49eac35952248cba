"""Questions from the file to the figure: imported, checked, asked of three families, compared."""

import json

import pytest

from models_app.core.errors import InvalidInput
from models_app.curation.services import dataset_prepare
from models_app.datasets.rows import rows_search
from models_app.datasets.selectors import version_rows
from models_app.jobs.models import Job
from models_app.registry.services import (
    conversion_start,
    evaluation_start,
    model_create,
    training_start,
)
from tests.factories.data import pending_version, ready_version, stored
from tests.factories.deployments import ready_version as made
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
#: The words of the sample text follow each other in three rounds, so what follows is known; the
#: answer to the last question is not what a model should say.
CHOICES = [
    {"prompt": "the while mix", "choices": ["the", "potions"], "answer": 0, "topic": "dropped"},
    {"prompt": "dog wizards", "choices": ["dog", "potions", "over"], "answer": 1},
    {"prompt": "lazy seven", "choices": ["strange", "jumps"], "answer": 1},
]
ANSWERS = [
    {"prompt": "dog wizards potions", "answer": "brown"}, {"prompt": "while", "answer": "dogs"},
]  # fmt: skip
SPECS = {
    "transformer": TINY,
    "ngram": {"unit": "word", "order": 3},
    "hmm": {"unit": "char", "states": 2, "iterations": 2, "restarts": 1},
}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def questions(actor, team, folder, rows, shape, name="quiz"):
    version = pending_version(
        actor, team, stored("quiz.jsonl", lines(rows)), name=name, shape=shape
    )
    job = run_job(version.produced_by, folder)
    version.refresh_from_db()
    return version, job


@pytest.fixture
def quiz(ana, team, tmp_path):
    return questions(ana, team, tmp_path, CHOICES, "multiple_choice")[0]


@pytest.fixture
def texts(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def trained(ana, team, texts, tmp_path):
    def make(family):
        model = model_create(actor=ana, team=team, name=f"of-{family}", family=family)
        version = training_start(
            actor=ana, team=team, model=model, dataset_version=texts, spec=SPECS[family]
        )
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()
        assert version.state == "ready", version.error
        return version

    return make


class TestImport:
    def test_keeps_what_is_asked_and_holds_all_of_it_out(self, quiz):
        assert (quiz.state, quiz.shape) == ("ready", "multiple_choice")
        assert quiz.counts["train"]["documents"] == 0
        assert quiz.counts["validation"]["documents"] == 3
        rows = version_rows(version=quiz, split="validation")
        kept = {"prompt", "choices", "answer", "index"}
        assert [set(row) for row in rows] == [kept] * 3
        assert rows[1]["choices"] == ["dog", "potions", "over"]
        assert len(rows_search(version=quiz, text="jumps", split="validation")[0]) == 1

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ({"text": "Once"}, '"prompt" must be a text'),
            ({"prompt": " ", "choices": ["a", "b"], "answer": 0}, '"prompt" must be a text'),
            ({"prompt": "a", "choices": ["a"], "answer": 0}, '"choices" must be a list of 2'),
            ({"prompt": "a", "choices": ["a", 3], "answer": 0}, 'choice 1 of "choices" is no text'),
            ({"prompt": "a", "choices": ["a", "b"], "answer": 2}, "from 0 to 1"),
            ({"prompt": "a", "choices": ["a", "b"], "answer": True}, "from 0 to 1"),
            ({"prompt": "a", "choices": ["a", "b"], "answer": "b"}, "from 0 to 1"),
        ],
    )
    def test_names_the_row_that_is_no_question(self, ana, team, tmp_path, row, said):
        version, _job = questions(ana, team, tmp_path, [CHOICES[0], row], "multiple_choice")

        assert version.state == "failed"
        assert "quiz.jsonl line 2" in version.error
        assert said in version.error

    def test_takes_exact_answers_without_choices(self, ana, team, tmp_path):
        good, _job = questions(ana, team, tmp_path, ANSWERS, "exact_match")
        mixed, _job = questions(ana, team, tmp_path, CHOICES, "exact_match", name="mixed")

        assert (good.state, good.counts["validation"]["documents"]) == ("ready", 2)
        assert 'there are "choices"' in mixed.error

    def test_takes_questions_from_json_lines_only(self, ana, team, tmp_path):
        version = pending_version(ana, team, stored("a.txt", b"Once"), shape="exact_match")
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()

        assert "JSON lines only" in version.error

    def test_passes_over_bad_rows_where_that_is_wished(self, ana, team, tmp_path):
        data = lines([CHOICES[0], {"prompt": "a"}, CHOICES[1]])
        version = pending_version(
            ana, team, stored("quiz.jsonl", data), shape="multiple_choice", invalid_rows="skip"
        )
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()

        assert version.counts["validation"]["documents"] == 2
        assert version.source["invalid"]["rows"][0]["line"] == 2

    def test_the_quality_check_reads_questions(self, quiz, team, tmp_path):
        check = Job.objects.get(kind="dataset_check", params__dataset_version=quiz.pk)
        check = run_job(check, tmp_path)

        assert check.state == "succeeded"
        assert quiz.reports.get().report


class TestQuestionsAreNotData:
    def test_nothing_is_trained_on_them(self, ana, team, quiz):
        model = model_create(actor=ana, team=team, name="poet")

        with pytest.raises(InvalidInput) as refused:
            training_start(actor=ana, team=team, model=model, dataset_version=quiz, spec=TINY)

        assert "never trained on" in refused.value.errors["dataset_version"][0]

    def test_nothing_is_prepared_or_converted_with_them(self, ana, team, quiz):
        with pytest.raises(InvalidInput) as prepared:
            dataset_prepare(actor=ana, parent=quiz, spec={})
        with pytest.raises(InvalidInput) as converted:
            conversion_start(actor=ana, version=made(team), format="int8", dataset_version=quiz)

        assert "questions" in prepared.value.errors["parent"][0]
        assert "questions" in converted.value.errors["dataset_version"][0]

    @pytest.mark.parametrize(
        ("task", "said"), [("perplexity", "multiple_choice"), ("exact_match", "multiple_choice")]
    )
    def test_the_task_is_that_of_the_rows(self, ana, team, quiz, task, said):
        with pytest.raises(InvalidInput) as refused:
            evaluation_start(actor=ana, version=made(team), dataset_version=quiz, task=task)

        assert said in refused.value.errors["task"][0]

    def test_documents_are_not_asked(self, ana, team, texts):
        with pytest.raises(InvalidInput) as refused:
            evaluation_start(
                actor=ana, version=made(team), dataset_version=texts, task="exact_match"
            )

        assert "no questions" in refused.value.errors["task"][0]


class TestAsking:
    def test_three_families_are_asked_and_compared(
        self, ana, quiz, trained, tmp_path, api_for, client_for
    ):
        found = []
        for family in SPECS:
            job = evaluation_start(
                actor=ana, version=trained(family), dataset_version=quiz, task="multiple_choice"
            )
            job = run_job(job, tmp_path)
            assert job.state == "succeeded", job.reason
            found.append(job.evaluation)

        assert {row.task for row in found} == {"multiple_choice"}
        query = "&".join(f"e={row.pk}" for row in found)
        compared = api_for(ana).get(f"/api/v1/evaluations/compare?{query}").json()
        rows = compared["evaluations"]
        assert [row["family"] for row in rows] == ["transformer", "ngram", "hmm"]
        assert compared["documents"] == 3
        assert rows[1]["value"] == pytest.approx(2 / 3)
        normalised = api_for(ana).get(
            f"/api/v1/evaluations/compare?{query}&measure=accuracy_normalised"
        )
        assert normalised.json()["measure"] == "accuracy_normalised"
        page = client_for(ana).get(f"/evaluations/{found[1].pk}/").content.decode()
        assert "0.6667" in page
        assert "0.2077 to 0.9385" in page  # Wilson's interval of 2 out of 3

    def test_answers_are_written_and_told(self, ana, team, trained, tmp_path, api_for):
        data, _job = questions(ana, team, tmp_path, ANSWERS, "exact_match")
        body = {"version": trained("ngram").pk, "dataset_version": data.pk, "task": "exact_match",
                "max_tokens": 1}  # fmt: skip
        started = api_for(ana).post("/api/v1/evaluations", body)
        run_job(Job.objects.get(pk=started.json()["job"]), tmp_path)

        api = api_for(ana)
        (told,) = api.get("/api/v1/evaluations?task=exact_match&family=ngram").json()["results"]
        assert told["metrics"]["accuracy"] == 0.5
        assert (told["metrics"]["max_tokens"], told["metrics"]["stop"]) == (1, "\n")
        rows = b"".join(api.get(f"{told['url']}/scores.csv").streaming_content).decode()
        assert rows.splitlines() == ["document,correct,tokens,answer", "0,1,1,brown",
                                     "1,0,1,mix"]  # fmt: skip
