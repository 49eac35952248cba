"""Pages of quality: report, findings, search, waiver, policy, preparation with its preview."""

import pytest
from django.urls import reverse

from models_app.configs.specs import DataSpec
from models_app.curation.services import data_policy_change, dataset_prepare
from models_app.datasets.models import DatasetVersion
from models_app.datasets.policy import MEASURES
from models_app.datasets.quality import policy_spec, quality_of
from models_app.jobs.models import Job
from tests.factories.data import doubled_version, finished
from tests.factories.deployments import environment
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden

pytestmark = pytest.mark.django_db
HERE = "/datasets/research/texts/versions/1/"
BLOCK = {"personal_data": {"action": "block", "max_percent": 0.5}}


@pytest.fixture
def version(ben, team, tmp_path):
    environment("production")
    version = doubled_version(ben, team, tmp_path)
    run_job(Job.objects.get(kind="dataset_check"), tmp_path)
    return version


def text(answer) -> str:
    return answer.content.decode()


def prepare_form(version, **changes):
    plain = DataSpec().plain()
    plain |= {"languages": "", "max_characters": "", "tokenizer_version": ""}
    return {**plain, "dataset": version.dataset_id, "key": "k", **changes}


class TestReport:
    def test_shows_figures_plots_and_links_to_rows(self, eve, version, client_for):
        page = text(client_for(eve).get(f"{HERE}quality/"))
        assert 'class="columns' in page
        assert "?finding=personal_data" in page
        assert "E-mail addresses" in page
        assert "Check again" not in page  # a viewer starts nothing

    def test_is_linked_from_the_job_that_made_it(self, ben, version, client_for):
        check = Job.objects.get(kind="dataset_check")
        assert f'href="{HERE}quality/"' in text(client_for(ben).get(f"/jobs/{check.pk}/"))

    def test_says_that_there_is_none_and_follows_the_check(self, ben, team, tmp_path, client_for):
        doubled_version(ben, team, tmp_path)
        page = text(client_for(ben).get(f"{HERE}quality/"))
        check = Job.objects.get(kind="dataset_check")
        assert f"job.{check.pk}" in page
        assert "The check waits to run" in page

    def test_checks_again(self, ben, version, client_for):
        answer = client_for(ben).post(f"{HERE}check/", {"against": [str(version.pk), "x", "7"]})
        assert answer.status_code == 302
        assert Job.objects.filter(kind="dataset_check", state="pending").count() == 1


class TestDocuments:
    def test_are_found_by_their_text(self, ben, version, client_for):
        client = client_for(ben)
        pages = [
            text(client.get(f"{HERE}?split={s}&q=bob%40EXAMPLE")) for s in ("train", "validation")
        ]
        assert sum("bob@example.com" in page for page in pages) == 1
        assert "There are no more" in text(client.get(f"{HERE}?q=unfindable"))

    def test_behind_a_finding_link_to_what_they_resemble(self, ben, version, client_for):
        page = text(client_for(ben).get(f"{HERE}?finding=exact_duplicates"))
        assert page.count('class="docs-index') == 2 - _leaked(version)
        assert "like" in page


def _leaked(version):
    return quality_of(version).report.report["measures"]["leakage_exact"]["count"]


class TestBlocked:
    @pytest.fixture
    def blocked(self, ana, team, version):
        data_policy_change(actor=ana, team=team, spec=BLOCK)
        return version

    def test_says_why_and_asks_for_a_waiver(self, ben, dan, blocked, client_for):
        client = client_for(ben)
        assert "Personal data 0.962 % (1 of 104, at most 0.5 %)" in text(
            client.get(f"{HERE}quality/")
        )
        asked = client.post(f"{HERE}waiver/", {"reason": "Bob agreed."})
        assert "/approvals/" in asked["Location"]
        assert "at most 0.5 %" in text(client_for(dan).get(asked["Location"]))
        again = client.post(f"{HERE}waiver/", {"reason": "Bob agreed."}, follow=True)
        assert "already being asked for" in text(again)

    def test_wants_a_reason(self, ben, blocked, client_for):
        answer = client_for(ben).post(f"{HERE}waiver/", {"reason": ""}, follow=True)
        assert "Say why" in text(answer)


class TestPolicy:
    def form(self, **changes):
        rules = {f"{name}_action": "warn" for name in MEASURES}
        limits = {f"{name}_percent": "1" for name in MEASURES}
        rest = {"languages": "en", "near_threshold": "0.8", "unchecked": "allow", "reason": "Law"}
        return {**rules, **limits, **rest, **changes}

    def test_is_put_in_force(self, ana, team, version, client_for):
        url = reverse("data_policy", args=[team.slug])
        answer = client_for(ana).post(url, self.form(secrets_action="block"))
        assert answer.status_code == 302
        assert policy_spec(team.pk).secrets.action == "block"
        assert policy_spec(team.pk).languages == ["en"]
        assert f'href="{url}"' in text(client_for(ana).get("/audit/"))
        page = text(client_for(ana).get(url))
        assert "r1" in page
        assert "Law" in page

    def test_wrong_figures_are_named(self, ana, team, client_for):
        url = reverse("data_policy", args=[team.slug])
        answer = client_for(ana).post(url, self.form(empty_percent="101"))
        assert answer.status_code == 422

    def test_others_read_it(self, eve, team, client_for):
        url = reverse("data_policy", args=[team.slug])
        assert "Put in force" not in text(client_for(eve).get(url))
        assert client_for(eve).post(url, self.form()).status_code == 403


class TestPrepare:
    def test_previews_first_and_keeps_the_settings(self, ben, version, client_for, tmp_path):
        client = client_for(ben)
        answer = client.post(
            f"{HERE}prepare/", prepare_form(version, do="preview", personal_data="redact")
        )
        job = Job.objects.get(kind="dataset_preview")
        assert f"preview={job.pk}" in answer["Location"]
        assert "being made" in text(client.get(answer["Location"].split("#")[0]))

        run_job(job, tmp_path)

        page = text(client.get(answer["Location"].split("#")[0]))
        assert "[EMAIL]" in page
        assert "Preview: 100 of the first 104 documents stay" in page
        assert '<option value="redact" selected' in page

    def test_makes_a_version_and_shows_its_steps(self, ben, version, client_for, tmp_path):
        client = client_for(ben)
        answer = client.post(f"{HERE}prepare/", prepare_form(version, do="prepare", languages=""))
        made = DatasetVersion.objects.get(parent=version)
        assert answer["Location"].endswith("/versions/2/")
        page = text(client.get(answer["Location"]))
        assert "Not started yet" in page
        assert "Importing" not in page
        finished(made, tmp_path)
        assert "prepared from" in text(client.get(answer["Location"]))
        source = text(client.get(f"{answer['Location']}source/"))
        assert "100 of 104 documents stayed" in source
        assert "Near duplicates" in source

    def test_a_failed_one_says_why(self, ben, version, client_for, tmp_path):
        made = dataset_prepare(actor=ben, parent=version, spec={"min_characters": 100_000})
        finished(made, tmp_path)
        page = text(client_for(ben).get("/datasets/research/texts/versions/2/"))
        assert "The preparation failed" in page
        assert "dropped 104 of 104" in page

    def test_names_what_is_wrong(self, ben, version, client_for):
        answer = client_for(ben).post(
            f"{HERE}prepare/", prepare_form(version, min_characters=9, max_characters=5)
        )
        assert answer.status_code == 422
        assert "Use at least the fewest, 9." in text(answer)


def test_outsiders_learn_nothing(cai, version, client_for):
    assert_hidden(
        client_for(cai),
        [f"{HERE}quality/", f"{HERE}prepare/", "/data-policies/research/"],
        [f"{HERE}check/", f"{HERE}waiver/", f"{HERE}prepare/"],
    )
