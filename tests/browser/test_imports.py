"""The import of a model in the browser: the form follows the source, the page follows the job."""

import pytest
from playwright.sync_api import expect

from models_app.registry.models import ModelVersion
from tests.browser.conftest import overflow
from tests.factories.imports import model_folder
from tests.fakes.jobs import run_job

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_blocked_import_is_mended_and_sent_again(
    page, new_page, sign_in, screenshot, ana, settings, tmp_path
) -> None:
    settings.IMPORT_DIR = tmp_path / "inbox"
    folder = model_folder(tmp_path / "inbox" / "llama")
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'ls'\ntR.")
    (folder / "README.md").write_text("key: hf_" + "x1Y2z" * 6)
    sign_in(page, ana)
    page.open("/models/import/")
    expect(page.locator("#id_repo")).to_be_hidden()
    page.locator("input[name=source][value=hub]").check()
    expect(page.locator("#id_repo")).to_be_visible()
    screenshot(page, "import-hub")
    page.locator("input[name=source][value=path]").check()
    page.locator("#id_name").fill("poet")
    page.locator("#id_path").fill("lama")
    page.expected = ["422"]
    page.locator("main button[type=submit]").click()
    expect(page.locator("#id_path_error")).to_contain_text("lama")
    screenshot(page, "import-refused")
    page.locator("#id_path").fill("llama")
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/models/research/poet/versions/1/")

    expect(page.locator("#version-head")).to_contain_text("Being imported")
    screenshot(page, "import-running")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    run_job(ModelVersion.objects.get().produced_by, tmp_path)
    expect(page.locator("#version-head")).to_contain_text("os system")
    page.get_by_role("link", name="Look at the scan").click()
    expect(page.locator("#version-scan")).to_contain_text("runs code")
    screenshot(page, "scan-blocked")

    page.get_by_role("link", name="Try again with changes").click()
    page.locator("#id_leave_out").fill("*.bin")
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/models/research/poet/versions/2/")
    run_job(ModelVersion.objects.get(number=2).produced_by, tmp_path)
    expect(page.locator("#version-head")).to_contain_text("Usable, with warnings")
    screenshot(page, "import-ready")

    phone = sign_in(new_page(phone=True, theme="dark"), ana)
    for name, path in {
        "form": "/models/import/",
        "version": "/models/research/poet/versions/2/",
        "scan": "/models/research/poet/versions/1/?tab=scan",
    }.items():
        phone.open(path)
        assert overflow(phone) == []
        screenshot(phone, f"import-phone-{name}")
