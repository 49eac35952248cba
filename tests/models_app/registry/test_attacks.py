"""Results of the attack suite in the API, on the card, before approvers and on the page."""

import pytest
from huggingface_hub import ModelCard

from models_app.approvals.stages import _attack_evidence
from models_app.jobs.models import Job
from models_app.registry.attacks import CATEGORIES
from models_app.registry.cards import card_text
from models_app.registry.models import ModelVersion
from models_app.registry.services import attack_complete, attack_start, model_create
from tests.matrix import assert_hidden, assert_needs_sign_in
from workers.lm.attacks.result import NO_DATA, NO_ROOM, NO_TEMPLATE, Report
from workers.lm.attacks.suite import CATEGORIES as ASKED

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def version(ana, team):
    model = model_create(actor=ana, team=team, name="poet")
    return ModelVersion.objects.create(model=model, number=1, state="ready", digest="0" * 64)


def report_of(good=3, bad=1):
    report = Report()
    report.categories["harmful_request"].why = NO_TEMPLATE
    report.categories["memorisation"].why = NO_DATA
    for number in range(good + bad):
        failed = "" if number < good else "verbatim"
        report.add("secret_leak", f"leak-{number:02}", "<b>Answer</b>", "Prompt", failed)
    return report.to_dict()


@pytest.fixture
def attacked(ana, version):
    def make(version=version, **counts):
        job = attack_start(actor=ana, version=version)
        return attack_complete(job=job, version_id=version.pk, seed=7, report=report_of(**counts))

    return make


def test_every_category_and_reason_has_words():
    from models_app.registry.attacks import WHY

    assert tuple(CATEGORIES) == ASKED
    assert set(WHY) == {NO_TEMPLATE, NO_DATA, NO_ROOM}


class TestApi:
    def test_starts_lists_and_reads(self, ben, version, attacked, api_for):
        api, url = api_for(ben), f"{V1}/model-versions/{version.pk}/attacks"

        made = api.post(url, {"tokens": 32}, headers={"Idempotency-Key": "k"})
        again = api.post(url, {"tokens": 32}, headers={"Idempotency-Key": "k"})
        other = api.post(url, {"tokens": 64}, headers={"Idempotency-Key": "k"})
        run = attacked()
        listed = api.get(url).json()["results"]
        read = api.get(listed[0]["url"]).json()

        assert made.status_code == again.status_code == 202
        assert made.json()["job"] == again.json()["job"] == other.json()["job"]
        assert other.status_code == 409
        job = Job.objects.get(pk=made.json()["job"])
        assert (job.kind, job.params["tokens"], job.params["rows"]) == ("attack", 32, 20)
        assert [row["id"] for row in listed] == [run.pk]
        assert (read["score"], read["passed"], read["applicable"]) == (0.75, 3, 4)
        assert read["report"]["categories"][0]["failures"][0]["id"] == "leak-03"

    @pytest.mark.parametrize(
        ("given", "field"), [({"tokens": 1}, "tokens"), ({"rows": -1}, "rows"), ({"x": 1}, "x")]
    )
    def test_names_the_wrong_field(self, ben, version, api_for, given, field):
        answer = api_for(ben).post(f"{V1}/model-versions/{version.pk}/attacks", given)
        assert answer.status_code == 422
        assert field in answer.json()["errors"]

    def test_names_the_version_that_cannot_be_asked(self, ben, version, api_for):
        ModelVersion.objects.filter(pk=version.pk).update(format="onnx")
        answer = api_for(ben).post(f"{V1}/model-versions/{version.pk}/attacks")
        assert answer.status_code == 422
        assert "onnx" in answer.json()["errors"]["version"][0]

    def test_is_for_builders_of_the_team(self, eve, cai, version, attacked, api_for):
        url = f"{V1}/model-versions/{version.pk}/attacks"
        urls = [url, f"{V1}/attacks/{attacked().pk}"]

        assert api_for(eve).post(url).status_code == 403
        assert api_for(eve).get(url).status_code == 200
        assert_hidden(api_for(cai), urls, urls[:1])
        assert_needs_sign_in(urls)


class TestCard:
    def test_has_the_score_as_a_metric_and_the_categories_as_a_table(self, version, attacked):
        attacked(bad=4)
        run = attacked()

        card = ModelCard(card_text(version))

        [row] = card.data.eval_results
        assert (row.metric_type, row.metric_value) == ("attack_score", 0.75)
        assert row.dataset_type == "slipway/attack-suite"
        assert row.dataset_revision == run.suite_digest[:40]
        assert "3 of 4 answers broke no rule" in card.text
        assert "| Leaked secrets | 4 | 3 | 0.75 |" in card.text
        assert "| Harmful requests | not applicable | – | Not instruction-tuned" in card.text

    def test_of_a_version_that_was_not_attacked_says_nothing(self, version):
        assert "Attack" not in card_text(version)


class TestApprovers:
    def test_see_the_score_beside_that_of_what_is_there(self, version, attacked):
        other = ModelVersion.objects.create(model=version.model, number=2, state="ready")
        attacked()
        [alone] = _attack_evidence(None, version)
        attacked(version=other, bad=3)
        [row] = _attack_evidence(other, version)

        assert (alone.old, alone.new) == (None, 0.75)
        assert (row.old, row.new, row.lower_is_better) == (0.5, 0.75, False)

    def test_see_no_comparison_of_different_suites(self, version, attacked):
        other = ModelVersion.objects.create(model=version.model, number=2, state="ready")
        run = attacked(version=other)
        type(run).objects.filter(pk=run.pk).update(suite_digest="f" * 64)
        attacked()
        assert _attack_evidence(other, version)[0].old is None


class TestPage:
    URL = "/models/research/poet/versions/1/"

    def test_starts_it_by_a_button(self, ben, version, client_for):
        client = client_for(ben)
        before = client.get(f"{self.URL}?tab=evaluations").content.decode()
        answer = client.post(f"{self.URL}attack/", follow=True)

        assert "Run the attack suite" in before
        assert "is queued" in answer.content.decode()
        assert Job.objects.get().params["version"] == version.pk

    def test_shows_categories_and_what_failed(self, eve, version, attacked, client_for):
        attacked(bad=4)
        attacked()
        text = client_for(eve).get(f"{self.URL}?tab=evaluations").content.decode()

        assert "3 <small>/ 4</small>" in text and "told word for word" in text
        assert "leak-03" in text and "&lt;b&gt;Answer" in text and "<b>Answer" not in text
        assert "Not instruction-tuned: a refusal is not expected." in text
        assert "0.429" in text  # the earlier run
        assert "Run again" not in text  # a viewer starts nothing

    def test_says_why_it_cannot_be(self, ben, version, client_for):
        ModelVersion.objects.filter(pk=version.pk).update(format="gguf")
        client = client_for(ben)
        text = client.get(f"{self.URL}?tab=evaluations").content.decode()
        answer = client.post(f"{self.URL}attack/", follow=True).content.decode()

        assert "It cannot be attacked" in text and "Run the attack suite" not in text
        assert "which is not loaded here" in answer
