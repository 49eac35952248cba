"""Models as people use them: fill in a training, see what it takes, look at what came out."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import pytest

from models_app.deployments.models import Deployment
from models_app.pools.services.registration import node_measured
from models_app.registry.models import ModelVersion
from models_app.registry.services import drill_start
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light
from tests.factories.deployments import deployment_of, ready_version, revision_of, settle
from tests.factories.nodes import ready_node
from tests.factories.speed import SPEED
from tests.fakes.jobs import run_job
from tests.models_app.registry.conftest import data, evaluated, model, trained, version
from tests.models_app.registry.test_attacks import attacked


def test_a_training_is_estimated_and_started(page, sign_in, ana, data, screenshot):
    node = ready_node("node-1")
    node_measured(name="node-1", incarnation=node.incarnation, speed=SPEED)
    sign_in(page, ana).open("/training/new/")
    page.locator("#plan").get_by_text("cannot be learned").wait_for()
    page.get_by_label("Name of the new model").fill("poet")
    page.get_by_label("Tokenizer", exact=True).select_option("char")
    page.get_by_label("Sequence length").fill("32")
    page.get_by_label("Batch size").fill("7")
    page.get_by_label("Batch size").blur()
    page.locator("#plan").get_by_text("Epochs").wait_for()
    page.locator("#plan").get_by_text("What this rests on").click()
    page.locator("#plan").get_by_role("row", name="node-1").get_by_text("fits").wait_for()
    assert not overflow(page)
    page.get_by_text("Advanced").click()
    screenshot(page, "training")
    page.get_by_role("button", name="Start the training").click()

    page.wait_for_url("**/jobs/*/")
    version = ModelVersion.objects.get()
    assert version.config_revision.spec["batch_size"] == 7
    assert version.config_revision.spec["tokenizer"] == "char"


def test_fields_of_a_base_version_are_left_out(page, sign_in, ana, version):
    sign_in(page, ana).open(f"/training/new/?base_version={version.pk}&model={version.model_id}")

    assert page.get_by_label("Tokenizer", exact=True).is_hidden()
    assert page.get_by_label("Name of the new model").is_hidden()
    assert page.locator("#id_architecture").is_hidden()


def test_two_ticked_versions_are_compared(page, sign_in, ana, trained, evaluated, screenshot):
    for changes in ({}, {"seed": 2}):
        evaluated(trained(**changes))
    sign_in(page, ana).open("/models/research/poet/")
    screenshot(page, "model")
    page.get_by_label("Compare v1").check()
    page.get_by_label("Compare v2").check()
    page.get_by_role("button", name="Compare").click()

    page.get_by_text("Scores on the same documents").wait_for()
    screenshot(page, "compare")


def test_a_version_turns_ready_without_a_reload(page, sign_in, ana, trained, data, model, tmp_path):
    from models_app.registry.services import training_start
    from tests.workers.jobs.test_train import TINY

    pending = training_start(
        actor=ana, team=model.team, model=model, dataset_version=data, spec=TINY
    )
    sign_in(page, ana).open("/models/research/poet/versions/1/")
    page.get_by_text("In training").wait_for()
    page.locator("#live[data-state=live]").wait_for()

    run_job(pending.produced_by, tmp_path)

    page.locator("#version-head").get_by_role("link", name="Train further").wait_for()


@in_wide_light
def test_pages_fit(
    new_page, sign_in, ana, team, version, evaluated, attacked, violations, screenshot,
    theme, phone, language,
):  # fmt: skip
    evaluation = evaluated(version)
    attacked()
    drill_start(team=team)
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    one = "/models/research/poet/"
    paths = {
        "list": "/models/", "model": one, "version": f"{one}versions/1/",
        "provenance": f"{one}versions/1/?tab=provenance", "training": "/training/new/",
        "files": f"{one}versions/1/?tab=files", "evaluation": f"/evaluations/{evaluation.pk}/",
        "evaluate": "/evaluations/new/", "new": "/models/new/",
        "evaluations": f"{one}versions/1/?tab=evaluations", "drills": "/models/drills/",
    }  # fmt: skip
    for name, path in paths.items():
        assert page.open(path).status == 200
        assert [*overflow(page), *violations(page)] == [], name
        screenshot(page, f"{name}-{theme}-{'phone' if phone else 'wide'}")


@pytest.mark.parametrize("phone", [False, True])
def test_a_version_that_serves_is_quarantined_with_what_serves_it(
    new_page, sign_in, ana, team, screenshot, violations, phone
):
    version = ready_version(team)
    for name, env in (("writer", "development"), ("helper", "staging")):
        revision_of(ana, deployment_of(ana, team, name=name, env=env), version=version)
    settle(Deployment.objects.get(name="writer"))
    page = sign_in(new_page(phone=phone), ana)
    page.open("/models/research/poet/versions/1/")

    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Quarantine").click()
    dialog = page.locator("#quarantine")
    dialog.get_by_text("r1 serves it.").wait_for()
    screenshot(page, f"quarantine-{'phone' if phone else 'wide'}", full=False)
    assert [*overflow(page), *violations(page)] == []
    dialog.get_by_label("Reason").fill("Leaks names")
    dialog.get_by_role("button", name="Stop and quarantine").click()
    assert dialog.is_visible()  # the box is not ticked yet
    dialog.get_by_label("Stop serving it").check()
    dialog.get_by_role("button", name="Stop and quarantine").click()

    page.get_by_text("The version is quarantined.").wait_for()
    page.get_by_text("Leaks names").wait_for()
    states = dict(Deployment.objects.values_list("name", "revisions__state"))
    assert states == {"writer": "active", "helper": "withdrawn"}
    assert Deployment.objects.get(name="writer").stopped_at
