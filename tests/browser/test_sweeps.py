"""Sweeps as people use them: begin one in the table, watch it come about, in every look."""

import pytest
from playwright.sync_api import expect

from models_app.registry.services import model_create
from models_app.sweeps.models import Sweep
from models_app.sweeps.services import sweep_advance, sweep_start
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.data import ready_version
from tests.fakes.trainings import Workers
from tests.models_app.sweeps.conftest import BASE, HALVING, driven, toy


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def sweep(ana, team, model, data):
    return sweep_start(
        actor=ana, team=team, model=model, dataset_version=data, spec=BASE, seed=4,
        space={"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
               "batch_size": {"values": [4, 8, 16]},
               "schedule": {"values": ["cosine", "linear"]}},
        halving=HALVING, parallel=3, max_trials=12, note="How fast may the poet learn?",
    )  # fmt: skip


@in_phone_dark
def test_looks_right(
    new_page, sign_in, ana, model, sweep, violations, screenshot, theme, phone, language
) -> None:
    driven(sweep)
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    for path in ("/sweeps/", f"/sweeps/{sweep.pk}/", "/sweeps/new/",
                 f"/sweeps/new/?model={model.pk}"):  # fmt: skip
        page.open(path)
        assert "\n".join([*overflow(page), *violations(page)]) == "", path
        name = path.replace(str(sweep.pk), "one").strip("/").replace("/", "-").replace("?", "-")
        screenshot(page, f"{name.split('=')[0]}-{'phone' if phone else 'wide'}-{theme}")


def test_a_search_is_begun_in_the_table(page, sign_in, ana, model, data, violations) -> None:
    sign_in(page, ana).open(f"/sweeps/new/?model={model.pk}")
    page.get_by_label("How Learning rate varies").select_option("range")
    page.locator("[name=low-learning_rate]").fill("0.0001")
    page.locator("[name=high-learning_rate]").fill("0.00001")
    page.locator("[name=s-vocab_size]").fill("300")
    page.get_by_label("Stop hopeless trials early").check()
    page.get_by_label("First rung at").fill("100")
    page.expected = ["422"]
    page.get_by_role("button", name="Begin the search").last.click()
    expect(page.get_by_text("The range is the wrong way round")).to_be_visible()
    assert violations(page) == []

    page.locator("[name=high-learning_rate]").fill("0.01")
    page.get_by_role("button", name="Begin the search").last.click()
    page.get_by_role("heading", name="Sweep").first.wait_for()
    assert Sweep.objects.get().rungs == [100, 300, 900]


def test_trials_appear_and_end_while_one_watches(page, sign_in, ana, sweep) -> None:
    sign_in(page, ana).open(f"/sweeps/{sweep.pk}/")
    expect(page.locator("#sweep-body")).to_contain_text("No trials to show")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")

    workers = Workers(sweep, toy, every=10)
    sweep_advance(sweep.pk)
    expect(page.locator("#sweep-body tbody tr")).to_have_count(3)
    workers.work()
    sweep_advance(sweep.pk)
    expect(page.locator("#sweep-body")).to_contain_text("Not among the best at a rung")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator("#confirm-ok").click()
    expect(page.locator("#sweep-head h1")).to_contain_text("Stopped")
