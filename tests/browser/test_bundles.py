"""A version goes out by a click and comes in by the form, with what its origin says."""

import pytest
from playwright.sync_api import expect

from models_app.registry.importing import PathSource
from models_app.registry.models import ModelVersion
from models_app.registry.services import model_create, version_import
from tests.browser.conftest import overflow
from tests.factories.bundles import with_manifest
from tests.factories.imports import adapter_folder, model_folder
from tests.fakes.jobs import run_job

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FIGURES = [
    {"dataset": "poems", "number": 2, "split": split, "metrics": {
        "perplexity": 12.3456, "bits_per_byte": 1.25, "nats_per_token": 2.5133}}
    for split in ("test", "validation")
]  # fmt: skip
DATA = {"name": "poems", "number": 2, "digest": "5e" * 32}


@pytest.fixture
def adapter(ana, team, settings, tmp_path):
    settings.IMPORT_DIR = tmp_path / "inbox"
    model_folder(settings.IMPORT_DIR / "llama")
    adapter_folder(settings.IMPORT_DIR / "lora")
    base = None
    for name, path in (("poet", "llama"), ("rhymes", "lora")):
        model = model_create(actor=ana, team=team, name=name)
        source = PathSource(path=path)
        version = version_import(actor=ana, model=model, source=source, base_version=base)
        run_job(version.produced_by, tmp_path / name)
        base = ModelVersion.objects.get(pk=version.pk)
    return base


def test_it_is_downloaded_and_imported(
    page, new_page, sign_in, screenshot, ana, cai, adapter, tmp_path
) -> None:
    sign_in(page, ana)
    page.page.set_viewport_size({"width": 1280, "height": 900})
    page.open("/models/research/rhymes/versions/1/?tab=files")
    screenshot(page, "bundle-button")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as a bundle").click()
    file = tmp_path / download.value.suggested_filename
    assert file.name == "rhymes-v1.slipway.tar"
    download.value.save_as(file)
    told = {"seed": 7, "dataset": DATA}

    def change(manifest):
        manifest["evaluations"] = FIGURES
        manifest["record"] |= told

    file.write_bytes(with_manifest(file.read_bytes(), change))

    other = sign_in(new_page(), cai)
    other.page.set_viewport_size({"width": 1280, "height": 900})
    other.open("/models/import/")
    other.locator("input[name=source][value=upload]").check()
    other.locator("#id_name").fill("verses")
    other.locator("#id_files").set_input_files(file)
    screenshot(other, "bundle-form")
    other.locator("main button[type=submit]").click()
    other.wait_for_url("**/models/legal/verses/versions/1/")
    run_job(ModelVersion.objects.latest("pk").produced_by, tmp_path / "moved")
    expect(other.locator("#version-head")).to_contain_text("Ready")
    other.open("/models/legal/verses/versions/1/?tab=provenance")
    expect(other.locator("#origin")).to_contain_text("rhymes v1")
    expect(other.locator("#origin")).to_contain_text("12.3456")
    screenshot(other, "bundle-provenance")
    other.open("/models/legal/poet/versions/1/?tab=provenance")
    expect(other.locator("main")).to_contain_text("as the base of verses v1")
    screenshot(other, "bundle-base")

    phone = sign_in(new_page(phone=True, theme="dark"), cai)
    for name, path in {
        "files": "/models/legal/verses/versions/1/?tab=files",
        "provenance": "/models/legal/verses/versions/1/?tab=provenance",
    }.items():
        phone.open(path)
        assert not overflow(phone)
        screenshot(phone, f"bundle-{name}-phone")
