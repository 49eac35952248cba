"""Evaluations as people hold them against each other: tick, compare, look closely."""

import pytest

from models_app.registry.services import evaluation_start, model_create, training_start
from models_app.registry.states import Family
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.data import ready_version as ready_data
from tests.factories.deployments import ready_version
from tests.factories.evaluations import of_answers, of_bits
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_train import TINY

SPECS = {
    "transformer": TINY,
    "ngram": {"unit": "char", "order": 4},
    "hmm": {"unit": "char", "states": 12, "iterations": 20, "restarts": 1},
}


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_data(ana, team, tmp_path)


@pytest.fixture
def three(team, data):
    """Of three families on the same six documents, one of them not comparable."""
    rows = []
    for name, family, bits, more in (
        ("poet", Family.TRANSFORMER, [2.1, 2.0, 1.9, 2.4, 2.2, 2.0], {}),
        ("counter", Family.NGRAM, [2.6, 2.7, 2.1, 2.3, 3.0, 2.5], {}),
        ("hider", Family.HMM, [3.1, 2.9, 3.3, 3.0, 3.4, 1.5], {"lossless": False}),
    ):
        version = ready_version(team, name=name)
        version.model.family = family
        version.model.save()
        rows.append(of_bits(version, data, bits, **more))
    return rows


def test_ticked_evaluations_are_compared_and_looked_at(page, sign_in, ana, three, screenshot):
    sign_in(page, ana).open("/evaluations/")
    for row in three:
        page.get_by_label(f"Compare {row.version}, evaluation {row.pk}").check()
    page.get_by_role("button", name="Compare").click()

    page.get_by_role("heading", name="Compare evaluations").wait_for()
    page.get_by_text("Not comparable.").wait_for()
    page.get_by_text("wizards").first.wait_for()  # the text of a document that differs
    page.get_by_role("heading", name="poet v1 against counter v1").wait_for()
    screenshot(page, "evaluations-compare")
    page.get_by_role("link", name=f"as baseline poet v1 #{three[0].pk}").click()
    page.get_by_role("heading", name="counter v1 against poet v1").wait_for()


def test_the_page_of_one_offers_the_others(page, sign_in, ana, three):
    sign_in(page, ana).open(f"/evaluations/{three[0].pk}/")

    page.get_by_label("Compare with").select_option(str(three[1].pk))
    page.get_by_role("button", name="Compare with this").click()

    page.get_by_role("heading", name="counter v1 against poet v1").wait_for()


def test_three_trained_families_stand_side_by_side(
    page, sign_in, ana, team, data, tmp_path, violations, screenshot
):
    rows = []
    for family, spec in SPECS.items():
        model = model_create(actor=ana, team=team, name=f"of-{family}", family=family)
        version = training_start(actor=ana, team=team, model=model, dataset_version=data, spec=spec)
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()
        job = evaluation_start(actor=ana, version=version, dataset_version=data, split="train")
        rows.append(run_job(job, tmp_path).evaluation)
    query = "&".join(f"e={row.pk}" for row in rows)

    sign_in(page, ana).open(f"/evaluations/compare/?{query}")

    page.get_by_role("heading", name="of-ngram v1 against of-transformer v1").wait_for()
    table = page.locator("table").first
    assert table.get_by_text("better", exact=True).count() == 2
    assert [*overflow(page), *violations(page)] == []
    screenshot(page, "evaluations-three-families")


@in_phone_dark
def test_pages_fit(
    new_page, sign_in, ana, team, data, three, violations, screenshot, theme, phone, language
):
    version = three[0].version
    answers = [of_answers(version, data, right) for right in ([1, 0, 1, 1], [0, 0, 1, 0])]
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    both = "&".join(f"e={row.pk}" for row in three)
    paths = {
        "evaluations": "/evaluations/", "none": "/evaluations/?task=multiple_choice",
        "comparison": f"/evaluations/compare/?{both}",
        "accuracy": f"/evaluations/compare/?e={answers[0].pk}&e={answers[1].pk}",
        "one": f"/evaluations/{three[1].pk}/", "answers": f"/evaluations/{answers[0].pk}/",
    }  # fmt: skip
    for name, path in paths.items():
        assert page.open(path).status == 200
        assert [*overflow(page), *violations(page)] == [], name
        screenshot(page, f"evaluation-{name}-{theme}-{'phone' if phone else 'wide'}")
    page.expected.append("422")
    assert page.open(f"/evaluations/compare/?e={three[0].pk}").status == 422
    assert [*overflow(page), *violations(page)] == []
