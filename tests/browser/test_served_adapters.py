"""Adapters beside a base, as people add and remove them."""

from models_app.deployments.reconcile import reconcile_deployment
from models_app.jobs import attempts
from tests.factories.deployments import adapter_version, live, ready_version, serving

URL = "/deployments/research/writer/"


def has(deployment, **loaded):
    for replica in live(deployment):
        said = {"loaded": {name: v.pk for name, v in loaded.items()}, "failed": {}}
        attempts.job_report(job=replica.job, data=said)
    reconcile_deployment(deployment.pk)


def test_one_is_added_loaded_and_removed(page, sign_in, ana, team, screenshot):
    base = ready_version(team, name="talker")
    adapter = adapter_version(team, base)
    deployment = serving(ana, team, version=base)
    sign_in(page, ana).open(URL)

    page.get_by_role("button", name="Add an adapter").click()
    dialog = page.locator("#adapter-add")
    dialog.get_by_label("Name").fill("sql")
    screenshot(page, "adapter_add")
    dialog.get_by_role("button", name="Add").click()
    page.get_by_text("The replicas that run take r2 over.").wait_for()
    panel = page.locator("#deployment-adapters")
    panel.get_by_text("Loading").wait_for()

    reconcile_deployment(deployment.pk)
    has(deployment, sql=adapter)
    # No reload: the event and the fragment do it.
    panel.get_by_text("1 / 1").wait_for()
    panel.get_by_text("research/writer:sql").wait_for()
    page.evaluate("document.querySelector('#deployment-adapters').scrollIntoView()")
    screenshot(page, "adapters_loaded")

    panel.get_by_role("button", name="Remove sql").click()
    page.locator("#confirm").get_by_label("Reason").fill("no longer needed")
    page.locator("#confirm").get_by_role("button", name="Remove").click()
    page.get_by_text("The replicas that run take r3 over.").wait_for()
    reconcile_deployment(deployment.pk)
    has(deployment)
    panel.get_by_text("None yet").wait_for()


def test_a_wrong_name_is_said(page, sign_in, ana, team):
    base = ready_version(team, name="talker")
    adapter_version(team, base)
    serving(ana, team, version=base)
    sign_in(page, ana).open(URL)
    page.get_by_role("button", name="Add an adapter").click()
    page.locator("#adapter-name").fill("v7")
    page.locator("#adapter-add").get_by_role("button", name="Add").click()
    page.get_by_text("v7 would look like a version").wait_for()
