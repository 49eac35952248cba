"""Adapters as people train them: the fields appear with a base, the version tells base and rank."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import pytest

from models_app.registry.models import ModelVersion
from tests.browser.conftest import overflow
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_adapters import base, data, node, train


def test_an_adapter_is_trained_from_a_base(page, sign_in, ana, base, data, tmp_path, screenshot):
    opened = sign_in(page, ana)
    opened.open(f"/training/new/?dataset_version={data.pk}")
    assert page.get_by_label("Adapter rank (LoRA)").is_hidden()

    page.get_by_label("Train a version further").select_option(str(base.pk))
    page.get_by_label("Name of the new model").fill("tuned")
    page.get_by_label("Sequence length").fill("64")
    page.get_by_label("Steps", exact=True).fill("6")
    page.get_by_label("Loss on").select_option("answers")
    page.get_by_label("Adapter rank (LoRA)").fill("4")
    page.get_by_label("Adapter rank (LoRA)").blur()
    page.get_by_text("Advanced").click()
    page.get_by_label("Warm-up steps").fill("1")
    page.get_by_label("Warm-up steps").blur()
    page.locator("#plan").get_by_text("Epochs").wait_for()
    screenshot(page, "training-adapter")
    assert not overflow(page)
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url("**/jobs/*/")

    version = ModelVersion.objects.get(model__name="tuned")
    assert version.config_revision.spec["lora_rank"] == 4
    run_job(version.produced_by, tmp_path)
    opened.open("/models/research/tuned/versions/1/")
    page.get_by_text("adapter of talker v1").wait_for()
    screenshot(page, "adapter-version")
    assert page.get_by_role("link", name="Evaluate").is_visible()
    assert page.get_by_role("link", name="Train further").is_visible()


def test_a_model_is_made_for_adapters(page, sign_in, ana, team, screenshot):
    sign_in(page, ana).open("/models/new/")
    page.get_by_label("Name", exact=True).fill("small")
    page.get_by_label("Family").select_option("adapter")
    screenshot(page, "model-new")
    page.get_by_role("button", name="Make the model").click()

    page.wait_for_url("**/models/research/small/")
    from models_app.registry.models import Model

    assert Model.objects.get(name="small").family == "adapter"
