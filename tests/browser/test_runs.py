"""Runs as people use them: find, choose columns, look at the picture, tick some and compare."""

import math

import pytest

from models_app.registry.services import run_begin, run_end, run_log_metrics
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.data import pending_version, stored
from tests.factories.deployments import ready_version


@pytest.fixture
def runs(ben, ana, team):
    """Seven runs with curves, settings and tags."""
    model = ready_version(team).model
    data = [pending_version(ben, team, stored("a.txt", name.encode()), name=name)
            for name in ("novels", "stdlib")]  # fmt: skip
    found = []
    for n in range(7):
        rate = 10 ** (-4 + n / 3)
        run = run_begin(
            actor=ana if n % 3 else ben, team=team, name=f"sweep {n}", model=model,
            dataset_version=data[n % 2],
            params={"learning_rate": rate, "batch_size": 8 << n % 4, "schedule": "cosine",
                    "architecture": {"n_layer": 2 + n % 2}},
            tags={"sweep": "rates", "owner": "a"} if n < 5 else {},
        )  # fmt: skip
        points = [
            (name, step, (4 + n / 5) * math.exp(-step / 60) + offset + 0.02 * (step % 7), None)
            for step in range(0, 200, 4)
            for name, offset in (("loss", 1.2), ("validation_loss", 1.4 + n / 20))
        ]
        run_log_metrics(actor=ben, job=run.job, points=points)
        if n < 6:
            run_end(actor=ben, run=run, state="failed" if n == 4 else "succeeded")
        found.append(run)
    return found


def test_a_filter_is_written_columns_chosen_and_runs_compared(page, sign_in, ana, runs):
    sign_in(page, ana).open("/runs/")
    field = page.get_by_role("searchbox", name="Filter")
    field.fill("metrics.loss < 9 and dataset = novels and not state = failed")
    field.press("Enter")
    page.get_by_text("3 runs").wait_for()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("params.schedule").check()
    page.get_by_role("button", name="Show these columns").click()
    page.get_by_role("columnheader", name="schedule").wait_for()
    page.get_by_role("link", name="validation_loss").click()
    page.locator("th[aria-sort=ascending]").wait_for()
    names = page.locator("#run-rows td.cell-lead a.name").all_inner_texts()
    assert names == ["sweep 0", "sweep 2", "sweep 6"]
    for name in names:
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("button", name="Compare").click()

    page.get_by_role("heading", name="Compare runs").wait_for()
    page.locator("canvas").first.wait_for()
    assert page.locator("tr.is-different").count() == 2
    assert "run=" in page.page.url


def test_a_mistake_is_said_with_its_column_and_the_filter_stays(page, sign_in, ana, runs):
    page = sign_in(page, ana)
    page.expected = ["422"]
    page.open("/runs/?filter=metrics.loss+<+and")

    page.get_by_role("alert").get_by_text("Column 16").wait_for()
    assert page.get_by_role("searchbox", name="Filter").input_value() == "metrics.loss < and"


def test_tags_of_a_run_are_set_and_taken_away(page, sign_in, ana, runs):
    sign_in(page, ana).open(f"/jobs/{runs[6].pk}/")
    page.get_by_label("Name of the tag").fill("owner")
    page.get_by_label("Value of the tag").fill("team a")
    page.get_by_role("button", name="Set", exact=True).click()
    page.get_by_text("The tags are saved.").wait_for()
    page.get_by_role("button", name="Remove the tag owner").click()
    page.get_by_text("The tags are saved.").wait_for()

    assert not runs[6].job.tags.exists()


@in_phone_dark
def test_pages_fit(new_page, sign_in, ana, runs, screenshot, violations, theme, phone, language):
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    ticked = "&".join(f"run={run.pk}" for run in runs[:5])
    for name, path in {
        "runs": "/runs/?filter=metrics.loss+<+9", "runs-compare": f"/runs/compare/?{ticked}",
    }.items():  # fmt: skip
        assert page.open(path).status == 200
        screenshot(page, f"{name}-{theme}-{'phone' if phone else 'wide'}-{language}")
        assert [*overflow(page), *violations(page)] == [], name
