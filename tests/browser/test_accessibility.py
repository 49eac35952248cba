"""axe-core finds nothing on the shell and its components, in both themes and at phone width."""

import pytest
from playwright.sync_api import expect

from tests.browser.looks import in_looks
from tests.browser.test_scripts import ana, as_ana, stage  # noqa: F401

THEMES = ["light", "dark"]


@in_looks
@pytest.mark.parametrize("path", ["/counter/", "/log/", "/form/", "/nowhere/"])
def test_pages(new_page, sign_in, ana, stage, violations, path, phone, theme, language) -> None:  # noqa: F811
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    page.expected = ["404"]
    stage.log = [("warning" if n % 9 == 0 else "info", f"step {n} loss 2.1") for n in range(60)]
    stage.log += [("error", "\x1b[31mboom\x1b[0m"), ("debug", "small")]
    stage.points = [(step, 3 - step / 100) for step in range(0, 100, 5)]
    page.open(path)

    assert violations(page) == []


@pytest.mark.parametrize("theme", THEMES)
def test_what_opens(new_page, sign_in, ana, stage, violations, screenshot, theme) -> None:  # noqa: F811
    page = sign_in(new_page(theme=theme), ana)
    page.open("/counter/")
    for name, opens, shown in (
        ("palette", lambda: page.keyboard.press("Control+k"), "#palette"),
        ("shortcuts", lambda: page.keyboard.press("?"), "#shortcuts"),
        ("confirm", lambda: page.locator("#delete").click(), "#confirm"),
        ("reason", lambda: page.locator("#reject").click(), "#confirm"),
        ("account", lambda: page.locator(".dropdown > .tool").click(), ".dropdown-menu.show"),
    ):
        opens()
        expect(page.locator(shown)).to_be_visible()
        page.wait_for_timeout(250)

        assert violations(page) == [], name
        screenshot(page, f"open-{name}-{theme}", full=False)
        page.keyboard.press("Escape")
        expect(page.locator(shown)).to_be_hidden()


def test_a_message(as_ana, stage, violations, screenshot) -> None:  # noqa: F811
    as_ana.open("/counter/")
    as_ana.locator("#stop").click()
    as_ana.locator("#confirm-ok").click()
    expect(as_ana.locator(".toast-card")).to_be_visible()
    as_ana.wait_for_timeout(250)

    assert violations(as_ana) == []
    screenshot(as_ana, "message", full=False)
