"""A run that a script logged, in the browser: on its page, and how to log one's own."""

import pytest
from playwright.sync_api import expect

from models_app.core.blobs import blob_put_file
from models_app.core.clock import now
from models_app.registry.services import (
    experiment_create,
    logged_run_begin,
    logged_run_write,
    run_file_keep,
)
from tests.browser.conftest import overflow

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_what_a_script_logged_is_seen_and_fetched(
    page, new_page, sign_in, screenshot, violations, ana, team, tmp_path
) -> None:
    experiment = experiment_create(actor=ana, team=team, name="rates")
    logged = logged_run_begin(
        actor=ana, experiment=experiment, name="night", started_ms=0,
        tags={"sweep": "a", "mlflow.source.name": "train.py"},
    )  # fmt: skip
    points = [("loss", step, 3 / step if step < 20 else float("nan"), now()) for step in
              range(1, 22)]  # fmt: skip
    params = {f"optimizer.setting_number_{n}": str(n) for n in range(40)}
    logged_run_write(actor=ana, logged=logged, points=points, params=params)
    (tmp_path / "a").write_bytes(b"hello")
    sha256, size = blob_put_file(tmp_path / "a")
    for path in ("notes.txt", "a/rather/long/path/to/some/figure-of-the-loss.png"):
        run_file_keep(actor=ana, run=logged.run, path=path, sha256=sha256, size=size)
    sign_in(page, ana).open("/runs/")
    expect(page.locator("#log-shell")).to_contain_text("MLFLOW_TRACKING_URI=")
    assert (overflow(page), violations(page)) == ([], [])
    screenshot(page, "log-from-script")
    page.get_by_role("link", name="night").click()

    panel = page.locator("#job-logged")
    expect(panel).to_contain_text("loss was no finite number 2 times, first at step 20")
    panel.get_by_text("40 parameters").click()
    expect(panel.get_by_text("optimizer.setting_number_39")).to_be_visible()
    assert (overflow(page), violations(page)) == ([], [])
    screenshot(page, "logged")
    with page.page.expect_download() as download:
        panel.get_by_role("link", name="Download notes.txt").click()
    assert download.value.path().read_bytes() == b"hello"
    phone = sign_in(new_page(phone=True), ana)
    phone.open(f"/jobs/{logged.pk}/")
    assert overflow(phone) == []
    screenshot(phone, "logged-phone")
    panel.get_by_role("link", name="rates").click()
    expect(page.locator("#run-rows")).to_contain_text("night")
