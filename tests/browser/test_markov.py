"""N-gram and hidden Markov models as people use them: a form or YAML, figures, the states drawn."""

import pytest

from models_app.registry.models import ModelVersion
from models_app.registry.services import model_create, training_start
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.data import ready_version
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_markov import SETTINGS


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def counted(ana, team, data, tmp_path):
    def make(family):
        model = model_create(actor=ana, team=team, name=f"of-{family}", family=family)
        version = training_start(
            actor=ana, team=team, model=model, dataset_version=data, spec=SETTINGS[family]
        )
        run_job(version.produced_by, tmp_path)
        return version

    return make


def test_a_training_is_estimated_and_started(page, sign_in, ana, data, screenshot):
    page.expected = ["422"]
    sign_in(page, ana).open("/training/new/")
    page.get_by_role("link", name="N-gram").click()
    page.get_by_label("Name of the new model").fill("counted")
    page.get_by_label("N-gram order").fill("4")
    page.get_by_label("Unit").select_option("char")
    page.locator("#plan").get_by_text("Memory").wait_for()
    screenshot(page, "ngram-form")
    page.get_by_role("button", name="YAML").click()
    page.locator("#yaml-text").wait_for()
    assert "order: 4" in page.locator("#yaml-text").input_value()
    page.locator("#yaml-text").fill("order: 12\n")
    page.get_by_role("button", name="Start the training").last.click()
    page.get_by_text("Input should be less than or equal to 10.", exact=True).wait_for()
    page.locator("#yaml-text").fill("order: 5\nunit: char\n")
    page.get_by_role("button", name="Start the training").last.click()

    page.wait_for_url("**/jobs/*/")
    version = ModelVersion.objects.get()
    assert version.model.family == "ngram"
    assert version.config_revision.spec["order"] == 5


def test_what_was_trained_is_trained_again_with_its_settings(page, sign_in, ana, counted):
    version = counted("hmm")
    sign_in(page, ana).open(f"/training/new/?from={version.pk}")

    assert page.get_by_label("States").input_value() == "2"
    assert page.get_by_label("Model", exact=True).input_value() == str(version.model_id)


@in_phone_dark
def test_pages_fit(
    new_page, sign_in, ana, counted, violations, screenshot, theme, phone, language
):  # fmt: skip
    counted("hmm")
    counted("ngram")
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    paths = {
        "ngram": "/training/new/ngram/", "hmm": "/training/new/hmm/",
        "counted": "/models/research/of-ngram/versions/1/",
        "states": "/models/research/of-hmm/versions/1/?tab=states", "new": "/models/new/",
    }  # fmt: skip
    for name, path in paths.items():
        assert page.open(path).status == 200
        assert [*overflow(page), *violations(page)] == [], name
        screenshot(page, f"{name}-{theme}-{'phone' if phone else 'wide'}")
