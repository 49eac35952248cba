"""Pages of people, teams, tokens and the audit log in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from console.access.models import ApiToken, Membership
from console.access.services import membership_set, team_rename
from console.access.tokens import token_find
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light
from tests.factories.access import PASSWORD, ApiTokenFactory, UserFactory


@pytest.fixture
def addresses(ana, ben, root, team) -> list[str]:
    """Every page of access, with something on it."""
    ApiTokenFactory(user=root, name="nightly import of the newspaper archive", team=team)
    membership_set(actor=ana, team=team, user=ben, role="viewer")
    team_rename(actor=ana, team=team, title="Research and development")
    return [
        "/account/", "/account/password/", "/people/", "/people/new/", f"/people/{ben.pk}/",
        "/teams/", "/teams/new/", "/teams/research/", "/tokens/", "/tokens/new/", "/audit/",
        "/audit/?q=nothing-of-this-name", "/people/?q=nobody", "/teams/?q=none",
        "/tokens/?status=revoked",
    ]  # fmt: skip


@in_wide_light
def test_every_page_fits_and_is_accessible(
    new_page, sign_in, root, addresses, violations, screenshot, phone, theme, language
) -> None:
    page = sign_in(new_page(phone=phone, theme=theme, language=language), root)
    for path in addresses:
        assert page.open(path).status == 200, path
        name = f"access{re.sub(r'[^a-z0-9]+', '-', path)}{theme}-{phone}-{language}"
        screenshot(page, name)
        assert overflow(page) == [], path
        assert violations(page) == [], path


def test_a_token_is_made_copied_and_revoked(page, sign_in, ana, violations, screenshot) -> None:
    sign_in(page, ana)
    page.open("/tokens/new/")
    page.get_by_label("Name").fill("ci")
    page.get_by_text("Ask deployed models").click()
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator("#secret").inner_text()
    assert violations(page) == []
    screenshot(page, "access-token-shown")
    assert token_find(secret).scopes == ["read", "infer"]

    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator("#confirm")).to_be_visible()
    page.locator("#confirm-ok").click()
    expect(page.locator(".toast-card")).to_be_visible()
    assert ApiToken.objects.get().revoked_at is not None


def test_a_new_person_signs_in_and_chooses_a_password(
    new_page, sign_in, root, team, violations, screenshot
) -> None:
    page = sign_in(new_page(), root)
    page.open("/people/new/")
    page.get_by_label("Name").fill("Gus")
    page.get_by_label("Email").fill("gus@example.com")
    page.locator("select[name=team]").select_option("research")
    page.get_by_role("button", name="Add the person").click()
    secret = page.locator("#secret").inner_text()
    assert violations(page) == []
    screenshot(page, "access-password-shown")

    other = new_page()
    other.open("/people/")
    other.locator("input[name=username]").fill("gus@example.com")
    other.locator("input[type=password]").fill(secret)
    other.locator("main button[type=submit]").click()
    other.wait_for_url("**/account/password/**")
    assert violations(other) == []
    screenshot(other, "access-password-forced")
    other.get_by_label("Current password").fill(secret)
    other.get_by_label("New password", exact=True).fill("another fine pass phrase")
    other.get_by_label("New password again").fill("another fine pass phrase")
    other.get_by_role("button", name="Save the password").click()
    expect(other.locator("#nav")).to_be_attached()


def test_an_admin_changes_a_role_and_removes_a_member(page, sign_in, ana, ben, team) -> None:
    sign_in(page, ana)
    page.open("/teams/research/")
    row = page.locator("tr", has_text="ben@example.com")
    row.locator("select").select_option("approver")
    row.get_by_role("button", name="Save").click()
    expect(page.locator(".toast-card")).to_be_visible()
    assert Membership.objects.get(user=ben).role == "approver"
    page.locator("tr", has_text="ben@example.com").get_by_role("button", name="Remove").click()
    page.locator("#confirm-ok").click()
    expect(page.locator("tr", has_text="ben@example.com")).to_have_count(0)


def test_the_locked_page(page, settings, violations, screenshot) -> None:
    settings.AXES_FAILURE_LIMIT = 1
    user = UserFactory(name="Ada")
    page.expected = ["429"]
    page.open("/login/")
    page.locator("input[name=username]").fill(user.email)
    page.locator("input[type=password]").fill(f"not {PASSWORD}")
    page.locator("main button[type=submit]").click()
    expect(page.get_by_role("heading", name="Too many attempts")).to_be_visible()
    assert violations(page) == []
    screenshot(page, "access-locked")
