"""Run again with changes: three clicks, the difference shown before, both runs linked after."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import re

import pytest

from models_app.datasets.models import DatasetVersion
from models_app.jobs.models import Job
from tests.factories.data import pending_version, ready_version, stored
from tests.factories.jobs import claimed, submitted
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.models_app.registry.conftest import data, evaluated, model, trained, version

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


def sent(page):
    """The fields of the form of a page, as a browser without scripts would send them."""
    editor, form = page.context["editor"], page.context["form"]
    fields = {"view": editor.view}
    for bound in editor.form:
        value = bound.value()
        if value not in (None, False):
            fields[bound.html_name] = "on" if value is True else value
    for name in form.fields:
        fields[name] = form[name].value() or ""
    return fields


def reviewed(page):
    """The hidden fields of the page that shows the difference."""
    found = {"view": "yaml", "yaml": page.context["yaml"], "go": "start"}
    for name in page.context["form"].fields:
        found[name] = page.context["form"][name].value() or ""
    return found


class TestTraining:
    def test_three_clicks_with_the_difference_in_between(self, ben, version, client_for):
        client, job = client_for(ben), version.produced_by
        url = f"/jobs/{job.pk}/again/"

        assert url in text(client.get(f"/jobs/{job.pk}/"))
        page = client.get(url)  # the first click
        review = client.post(url, {**sent(page), "s-steps": "9", "reason": "Longer",
                                   "go": "review"})  # the second  # fmt: skip
        start = client.post(url, reviewed(review))  # the third

        assert Job.objects.filter(kind="train").count() == 2
        again = Job.objects.order_by("-pk").first()
        made = again.model_versions.get()
        assert "<del>6</del>" in text(review)
        assert "<ins>9</ins>" in text(review)
        assert "1.5 times the tokens" in text(review)
        assert start["Location"] == f"/jobs/{again.pk}/"
        assert again.rerun_of == job
        assert made.config_revision.spec == {**version.config_revision.spec, "steps": 9}
        assert made.config_revision.reason == "Longer"
        assert made.dataset_version == version.dataset_version

    def test_both_runs_show_the_link_and_the_difference(self, ben, version, client_for):
        client, job = client_for(ben), version.produced_by
        url = f"/jobs/{job.pk}/again/"
        review = client.post(url, {**sent(client.get(url)), "s-steps": "9", "go": "review"})
        client.post(url, reviewed(review))
        again = Job.objects.order_by("-pk").first()

        child, parent = (text(client.get(f"/jobs/{pk}/")) for pk in (again.pk, job.pk))

        assert f"Repeats #{job.pk}" in child
        assert f"Repeated as #{again.pk}" in parent
        for page in (child, parent):
            assert re.search(r"steps</span>.*<del>6</del><ins>9</ins>", page)

    def test_takes_other_data(self, ben, team, version, client_for, tmp_path):
        client, job = client_for(ben), version.produced_by
        other = pending_version(ben, team, stored("b.txt", b"one two three four\n\n" * 90))
        from tests.fakes.jobs import run_job

        run_job(other.produced_by, tmp_path)
        url = f"/jobs/{job.pk}/again/"
        fields = {**sent(client.get(url)), "dataset_version": other.pk, "go": "review"}

        review = client.post(url, fields)
        client.post(url, {**reviewed(review), "dataset_version": other.pk})

        made = Job.objects.order_by("-pk").first().model_versions.get()
        assert "texts v2" in text(review)
        assert made.dataset_version == DatasetVersion.objects.get(pk=other.pk)
        assert made.config_revision == version.config_revision

    def test_shows_the_difference_while_one_types(self, ben, version, client_for):
        client, job = client_for(ben), version.produced_by
        fields = sent(client.get(f"/jobs/{job.pk}/again/"))
        url = f"/jobs/{job.pk}/again/changes/"

        same = text(client.post(url, fields))
        form = text(client.post(url, {**fields, "s-steps": "9", "s-seed": "x"}))
        yaml = text(client.post(url, {"view": "yaml", "yaml": "steps: 9\npreset: gpt2-1m\n"}))
        broken = text(client.post(url, {"view": "yaml", "yaml": "steps: [\n"}))

        assert "Nothing is changed" in same
        assert "<ins>9</ins>" in form
        assert "<ins>x</ins>" in form
        assert "<ins>9</ins>" in yaml
        assert "cannot be read" in broken
        assert Job.objects.filter(kind="train").count() == 1

    def test_keeps_what_was_typed_when_it_cannot_work(self, ben, version, client_for):
        client, job = client_for(ben), version.produced_by
        url = f"/jobs/{job.pk}/again/"
        fields = sent(client.get(url))

        wrong = client.post(url, {**fields, "s-steps": "-1", "go": "review"})
        too_long = client.post(url, {**fields, "s-sequence_length": "100000", "go": "review"})
        refused = client.post(url, reviewed(too_long))

        assert wrong.status_code == refused.status_code == 422
        assert 'value="-1"' in text(wrong)
        assert "sequence_length: 100000" in text(refused)
        assert "too few for sequences" in text(refused)
        assert Job.objects.filter(kind="train").count() == 1

    def test_goes_back_to_editing_with_everything(self, ben, version, client_for):
        client, job = client_for(ben), version.produced_by
        url = f"/jobs/{job.pk}/again/"
        review = client.post(url, {**sent(client.get(url)), "s-steps": "9", "go": "review"})

        back = client.post(url, {**reviewed(review), "go": "form"})

        assert back.context["editor"].view == "form"
        assert sent(back)["s-steps"] == "9"


class TestOthers:
    def test_an_evaluation_with_other_parameters(self, ben, version, evaluated, client_for):
        job = evaluated(version).produced_by
        client, url = client_for(ben), f"/jobs/{job.pk}/again/"
        review = client.post(url, {**sent(client.get(url)), "s-max_documents": "2", "go": "review"})

        client.post(url, reviewed(review))

        again = Job.objects.order_by("-pk").first()
        assert (again.kind, again.rerun_of) == ("evaluate", job)
        assert again.params == {**job.params, "max_documents": 2}

    def test_an_import_with_other_options(self, ben, team, data, client_for):
        job = data.produced_by
        client, url = client_for(ben), f"/jobs/{job.pk}/again/"
        review = client.post(url, {**sent(client.get(url)), "s-seed": "5", "go": "review"})

        client.post(url, reviewed(review))

        again = Job.objects.order_by("-pk").first()
        assert (again.kind, again.rerun_of) == ("dataset_import", job)
        assert again.dataset_versions.get().seed == 5

    def test_any_kind_that_people_submit(self, ben, team, client_for):
        job = submitted(team, params={"steps": 3, "ignore_stop": True})
        client, url = client_for(ben), f"/jobs/{job.pk}/again/"
        fields = sent(client.get(url))
        del fields["s-ignore_stop"]  # unticked

        review = client.post(url, {**fields, "s-steps": "4", "go": "review"})
        client.post(url, reviewed(review))

        again = Job.objects.order_by("-pk").first()
        assert (again.params["steps"], again.params["ignore_stop"]) == (4, False)
        assert [c.path for c in review.context["changes"]] == ["steps", "ignore_stop"]

    def test_outsiders_viewers_and_strangers(self, cai, eve, ben, team, client_for):
        job = submitted(team)
        urls = [f"/jobs/{job.pk}/again/"]
        assert_hidden(client_for(cai), urls, [*urls, f"{urls[0]}changes/"])
        assert_needs_sign_in(urls, urls)
        assert client_for(eve).get(urls[0]).status_code == 403
        assert urls[0] not in text(client_for(eve).get(f"/jobs/{job.pk}/"))
