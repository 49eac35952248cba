"""Report, findings, policy and preparation in a browser: nothing overflows, all is accessible."""

from playwright.sync_api import expect

from models_app.curation.services import data_policy_change, preparation_preview
from models_app.jobs.models import Job
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.data import doubled_version
from tests.factories.deployments import environment
from tests.fakes.jobs import run_job

HERE = "/datasets/research/texts/versions/1/"


@in_phone_dark
def test_pages(
    new_page, sign_in, ana, team, tmp_path, violations, screenshot, phone, theme, language
):
    environment("production")
    version = doubled_version(ana, team, tmp_path)
    run_job(Job.objects.get(kind="dataset_check"), tmp_path)
    rule = {"personal_data": {"action": "block", "max_percent": 0.5}}
    data_policy_change(actor=ana, team=team, spec=rule, reason="Privacy first")
    preview = preparation_preview(actor=ana, parent=version, spec={"personal_data": "redact"})
    run_job(preview, tmp_path)
    pages = {
        "quality": f"{HERE}quality/",
        "findings": f"{HERE}?finding=exact_duplicates",
        "prepare": f"{HERE}prepare/?preview={preview.pk}",
        "policy": "/data-policies/research/",
    }
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)

    wrong = []
    for name, path in pages.items():
        status = page.open(path).status
        found = [*overflow(page), *violations(page)]
        if status != 200 or found:
            wrong.append((name, status, found))
        screenshot(page, f"data-{name}-{theme}-{'phone' if phone else 'wide'}-{language}")
    assert not wrong, "\n".join(map(str, wrong))


def test_fields_come_and_go_with_what_is_chosen(page, sign_in, ana, team, tmp_path):
    doubled_version(ana, team, tmp_path)
    page = sign_in(page, ana)
    page.open(f"{HERE}prepare/")
    kinds = page.locator("#id_personal_kinds")
    expect(kinds).to_be_hidden()
    page.locator("#id_personal_data").select_option("redact")
    expect(kinds).to_be_visible()
