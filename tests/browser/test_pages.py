"""Every page of the side bar in a real browser: no complaint, no overflow, nothing inaccessible."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import overflow
from tests.browser.looks import EVERY, FULL, OPPOSITE
from tests.factories.access import PASSWORD

#: Nearly the same pages for both: without `LOOKS=full` each has one look.
SEEN = [(who, *look) for who in ("ana", "root") for look in EVERY]
ONCE = [("ana", *OPPOSITE[1]), ("root", *OPPOSITE[0])]


@pytest.mark.parametrize(("who", "phone", "theme", "language"), SEEN if FULL else ONCE)
def test_side_bar(
    new_page, sign_in, request, violations, screenshot, who, phone, theme, language
) -> None:
    person = request.getfixturevalue(who)
    page = sign_in(new_page(phone=phone, theme=theme, language=language), person)
    page.open("/")
    links = page.evaluate("[...document.querySelectorAll('#nav li a')].map((a) => a.pathname)")
    assert len(links) >= 5

    wrong = []
    for path in links:
        status = page.open(path).status
        found = [*overflow(page), *violations(page)]
        if status != 200 or page.locator("h1").count() != 1 or found:
            wrong.append((path, status, found))
        name = re.sub(r"\W+", "-", path).strip("-") or "overview"
        screenshot(page, f"page-{name}-{'phone' if phone else 'wide'}-{theme}-{language}-{who}")

    assert not wrong, "\n".join(map(str, wrong))


def test_sign_in_and_out(page, ana, screenshot, violations) -> None:
    page.open("/jobs/")
    assert violations(page) == []
    screenshot(page, "sign-in")

    page.locator("input[name=username]").fill(ana.email)
    page.locator("input[type=password]").fill("wrong")
    page.locator("main button[type=submit]").click()
    expect(page.locator(".note, .field-error").first).to_be_visible()
    page.locator("input[name=username]").fill(ana.email)
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/jobs/")

    page.locator(".dropdown > .tool").click()
    page.locator("form[action='/logout/'] button").click()
    page.wait_for_url("**/login/**")
