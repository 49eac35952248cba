"""The registry as a catalogue: aliases, stages and tags on the pages of models."""

import pytest

from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import approval_vote
from models_app.registry.models import Alias, ModelVersion
from models_app.registry.services import alias_set, tags_change, version_stage_move
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light
from tests.factories.deployments import environment, ready_version


@pytest.fixture
def versions(team):
    for name in ("development", "staging", "production"):
        environment(name)
    return [ready_version(team, text=f"weights {n}") for n in range(3)]


def confirm(page, button, reason):
    page.locator("#confirm-reason").fill(reason)
    page.locator("#confirm").get_by_role("button", name=button).click()


def test_an_alias_is_made_moved_and_moved_back(page, sign_in, ana, versions):
    sign_in(page, ana).open("/models/research/poet/")
    page.get_by_label("Name of the new alias").fill("champion")
    page.get_by_label("Version for the new alias").select_option("1")
    page.get_by_role("button", name="Add the alias").click()
    page.get_by_text("champion points to v1 now.").wait_for()
    page.get_by_label("Version for champion").select_option("3")
    page.get_by_role("button", name="Move", exact=True).click()
    confirm(page, "Move", "Better on legal texts")
    page.get_by_text("champion points to v3 now.").wait_for()
    page.get_by_text("Better on legal texts").wait_for()
    page.get_by_role("button", name="Back to v1").click()
    confirm(page, "Move back", "Worse after all")
    page.get_by_text("champion points to v1 now.").last.wait_for()

    assert Alias.objects.get().version == versions[0]


def test_a_version_reaches_production_through_an_approval(page, sign_in, ana, dan, versions):
    version_stage_move(actor=ana, version=versions[2], to="staging", reason="Looks good")
    sign_in(page, ana).open("/models/research/poet/versions/3/")
    page.get_by_role("button", name="Ask for approval").click()
    confirm(page, "Ask for approval", "Ship it")
    page.get_by_text("The move to “Production” waits for approval").wait_for()
    page.locator("#live[data-state=live]").wait_for()

    approval_vote(actor=dan, request=ApprovalRequest.objects.get(), decision="approve")

    page.locator("#version-head").get_by_text("Production").wait_for()
    assert ModelVersion.objects.get(pk=versions[2].pk).stage == "production"


@in_wide_light
def test_pages_fit(
    new_page, sign_in, ana, ben, dan, versions, screenshot, violations, theme, phone, language
):
    model = versions[0].model
    for expected, version in ((None, versions[0]), (1, versions[1])):
        alias_set(actor=ben, model=model, name="champion", version=version, expected=expected,
                  reason="Better on legal texts")  # fmt: skip
    alias_set(actor=ben, model=model, name="challenger", version=versions[2], expected=None)
    for thing in (model, *versions):
        tags_change(actor=ben, thing=thing, tags={"domain": "legal", "language": "en"})
    for version in versions[:2]:
        version_stage_move(actor=ana, version=version, to="staging", reason="Looks good")
    move = version_stage_move(actor=ana, version=versions[0], to="production", reason="Ship it")
    approval_vote(
        actor=dan, request=ApprovalRequest.objects.get(pk=move.approval), decision="approve"
    )
    version_stage_move(actor=ana, version=versions[1], to="production", reason="Ship it")
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    for name, path in {
        "models": "/models/", "model": "/models/research/poet/",
        "version-production": "/models/research/poet/versions/1/",
        "version-waits": "/models/research/poet/versions/2/",
        "version": "/models/research/poet/versions/3/",
        "approval-stage": f"/approvals/CR-{move.approval}/",
    }.items():  # fmt: skip
        assert page.open(path).status == 200
        screenshot(page, f"catalogue-{name}-{theme}-{'phone' if phone else 'wide'}-{language}")
        assert [*overflow(page), *violations(page)] == [], name
