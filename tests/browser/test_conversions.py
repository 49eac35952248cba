"""A version is converted in the browser: cards of formats, then the report with its pictures."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import pytest

from models_app.registry.models import Conversion
from models_app.registry.services import conversion_start
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_convert import node, stored, version
from tests.workers.lm.formats.conftest import models


def finished(ana, version, folder, **options):
    conversion = conversion_start(actor=ana, version=version, format="int8", **options)
    run_job(conversion.job, folder)
    return conversion


def test_a_version_is_converted(page, sign_in, ana, version, tmp_path):
    sign_in(page, ana).open("/models/research/poet/versions/1/")
    page.get_by_role("link", name="Convert").click()
    page.get_by_role("radio", name="q8_0").check()
    page.get_by_role("button", name="Convert").click()
    page.get_by_text("Being converted").wait_for()

    run_job(Conversion.objects.get().job, tmp_path)

    page.get_by_text("The gate was passed").wait_for()
    page.get_by_role("img", name="Size of the weights").wait_for()


@in_wide_light
def test_pages_fit(new_page, sign_in, ana, version, tmp_path, screenshot, theme, phone, language):
    refused = finished(ana, version, tmp_path, gate={"max_logit_error": 0.0})
    passed = finished(ana, version, tmp_path)
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    one = "/models/research/poet/versions/"
    paths = {
        "new": f"{one}1/convert/", "passed": f"/conversions/{passed.pk}/",
        "refused": f"/conversions/{refused.pk}/", "source": f"{one}1/", "output": f"{one}3/",
        "failed": f"{one}2/",
    }  # fmt: skip
    for name, path in paths.items():
        page.open(path)
        assert overflow(page) == [], name
        screenshot(page, f"conversion-{name}-{theme}-{'phone' if phone else 'wide'}")
