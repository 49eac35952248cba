"""A version that waits for its files, in the browser: what is missing, and how it is completed."""

import pytest
from playwright.sync_api import expect

from models_app.registry.models import ModelVersion
from models_app.registry.services import (
    model_create,
    run_begin,
    run_log_metrics,
    version_register,
)
from tests.browser.conftest import overflow
from tests.factories.imports import model_folder
from tests.fakes.jobs import run_job

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
V1 = "/models/research/poet/versions/1/"


def test_the_files_of_a_run_elsewhere_are_brought(
    page, new_page, sign_in, screenshot, ana, team, settings, tmp_path
) -> None:
    settings.IMPORT_DIR = tmp_path / "inbox"
    model_folder(tmp_path / "inbox" / "llama")
    model = model_create(actor=ana, team=team, name="poet")
    run = run_begin(actor=ana, team=team, name="laptop", params={"optimizer": {"lr": 3e-4}})
    run_log_metrics(actor=ana, job=run.job, points=[("loss", 10, 2.5, None)])
    version_register(actor=ana, model=model, run=run)
    page.page.set_viewport_size({"width": 1280, "height": 900})
    sign_in(page, ana)
    page.open(V1)
    expect(page.locator("#awaited")).to_contain_text("tokenizer.json")
    assert overflow(page) == []
    screenshot(page, "awaited")
    phone = sign_in(new_page(phone=True), ana)
    phone.open(V1)
    assert overflow(phone) == []
    screenshot(phone, "awaited-phone")

    page.get_by_role("link", name="Import its files").click()
    page.locator("#id_path").fill("llama")
    screenshot(page, "awaited-form")
    page.locator("main button[type=submit]").click()
    page.wait_for_url(f"**{V1}")
    expect(page.locator("#version-head")).to_contain_text("Being imported")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    run_job(ModelVersion.objects.get().filled_by, tmp_path)
    expect(page.locator("#version-head")).to_contain_text("Ready")
    page.open(f"{V1}?tab=provenance")
    screenshot(page, "awaited-provenance")
