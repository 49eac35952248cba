"""What explains a version, as people see it."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

from models_app.registry.services import card_write, reproduction_start
from tests.browser.conftest import overflow
from tests.fakes.jobs import run_job
from tests.models_app.registry.conftest import data, evaluated, model, trained, version

V1 = "/models/research/poet/versions/1/"


def test_every_tab_fits_a_phone_and_leads_on(
    page, new_page, sign_in, ana, version, evaluated, screenshot, tmp_path
):
    evaluated(version)
    card_write(actor=ana, model=version.model, license="mit", body="Writes *verse*.")
    run_job(reproduction_start(actor=ana, version=version).job, tmp_path)
    phone = new_page(phone=True, theme="dark", language="zh-hans")
    sign_in(page, ana)
    sign_in(phone, ana)
    for tab in ("provenance&verify=1", "lineage", "card", "reproduce"):
        page.open(f"{V1}?tab={tab}")
        screenshot(page, f"explain-{tab.split('&')[0]}")
        phone.open(f"{V1}?tab={tab}")
        assert not overflow(phone)
        screenshot(phone, f"explain-{tab.split('&')[0]}-phone")

    page.open(f"{V1}?tab=lineage")
    page.get_by_role("link", name="texts v1 dataset").press("Enter")
    page.wait_for_url("**/datasets/research/texts/**")
