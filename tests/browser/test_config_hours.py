"""The hours of a configuration: rows by mouse, by keyboard and without scripts; the week below."""

import pytest
from playwright.sync_api import expect

from models_app.configs.models import ConfigRevision
from models_app.configs.services import config_revise
from tests.browser.conftest import overflow
from tests.browser.looks import in_looks

HOURS = [
    {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:30", "replicas": 3},
    {"days": ["sat", "sun"], "start": "22:00", "end": "06:00", "replicas": 2},
    {"days": [], "start": "12:00", "end": "13:00", "replicas": 5},
]
EDIT = "/configs/research/serving/small/edit/"


@pytest.fixture
def stored(ana, team):
    return config_revise(
        actor=ana, team=team, kind="serving", name="small",
        spec={"max_replicas": 6, "hours": HOURS, "timezone": "Europe/Berlin"},
    )  # fmt: skip


def opened(page):
    """The folded part with the rows."""
    page.open(EDIT)
    page.get_by_text("Advanced", exact=True).click()
    return page.locator(".hours")


@in_looks
def test_the_rows_and_the_week_fit_every_look(
    sign_in, new_page, ana, stored, phone, theme, language, screenshot
):
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    page.open(EDIT)
    page.locator("details.options summary").first.click()
    hours = page.locator(".hours")
    expect(hours.locator(".week-bar")).not_to_have_count(0)
    hours.scroll_into_view_if_needed()
    screenshot(page, f"hours-{'phone' if phone else 'desk'}-{theme}-{language}")
    assert overflow(page) == []


def test_by_keyboard_a_row_is_added_filled_in_and_another_dropped(sign_in, page, ana, stored):
    hours = opened(sign_in(page, ana))
    add = hours.get_by_role("button", name="Add hours")
    add.focus()
    page.keyboard.press("Enter")
    expect(hours.locator(".hours-row")).to_have_count(4)
    # The reader goes on in the new row, at its first day.
    expect(hours.locator(".hours-row").nth(3).locator("input[value=mon]")).to_be_focused()
    page.keyboard.press("Space")
    for _ in range(6):
        page.keyboard.press("Tab")
    expect(hours.locator(".hours-row").nth(3).locator("input[value=sun]")).to_be_focused()
    hours.get_by_role("button", name="Drop hours 3").focus()
    page.keyboard.press("Enter")
    expect(hours.locator(".hours-row")).to_have_count(3)
    expect(add).to_be_focused()
    hours.get_by_label("Replicas").nth(2).fill("4")
    page.get_by_label("Why").fill("more on Tuesdays")
    page.get_by_role("button", name="Store it").click()
    page.get_by_text("Stored as r2.").wait_for()

    rows = ConfigRevision.objects.get(number=2).spec["hours"]
    new = {"days": ["tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00", "replicas": 4}
    assert rows == [*HOURS[:2], new]


def test_without_scripts_and_what_is_wrong_stands_in_its_row(sign_in, new_page, ana, stored):
    page = sign_in(new_page(scripts=False), ana)
    page.expected = ["422"]
    hours = opened(page)
    hours.get_by_label("Replicas").nth(1).fill("-3")
    page.get_by_label("Why").fill("nonsense")
    page.locator("form.form-page").evaluate("f => f.noValidate = true")
    page.get_by_role("button", name="Store it").click()
    expect(hours.locator(".hours-row").nth(1).locator(".field-error")).to_be_visible()
    expect(hours.locator(".hours-row").nth(0).locator(".field-error")).to_have_count(0)
    hours.get_by_label("Replicas").nth(1).fill("6")
    hours.get_by_role("button", name="Show the week").click()
    said = "The coming week: from 1 to 6 replicas at least (Europe/Berlin)"
    expect(hours.locator(".week svg")).to_have_attribute("aria-label", said)
