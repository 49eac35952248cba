"""Nodes, pools and jobs on their way, as people watch them: what changes comes without a reload."""

from playwright.sync_api import expect

from models_app.jobs import attempts
from models_app.jobs.draining import drain_nodes
from models_app.jobs.models import Job
from models_app.pools.models import Node
from models_app.pools.services.registration import node_heartbeat
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import pool_of, ready_node


def stays(page) -> None:
    """Leaves a mark that a reload would wipe away."""
    page.evaluate("window.mark = 1")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def test_a_drain_is_asked_for_and_followed_to_its_end(page, sign_in, root, team, screenshot):
    ready_node("node-1")
    job = claimed(team, title="Long training", resources={"cpus": 2})
    sign_in(page, root).open("/nodes/node-1/")
    page.locator(".actions").get_by_role("link", name="Drain").click()
    page.get_by_text("saves a checkpoint and goes on elsewhere").wait_for()
    page.get_by_label("Deadline in minutes").fill("20")
    page.get_by_label("Why").fill("New card")
    page.get_by_role("button", name="Drain the node").click()

    page.get_by_text("node-1 is being emptied.").wait_for()
    stays(page)
    expect(page.locator(".drain")).to_contain_text("0 of 1 have left")
    expect(page.locator(".drain")).to_contain_text("New card")
    drain_nodes()
    expect(page.locator("#node")).to_contain_text("It is saving a checkpoint.")
    screenshot(page, "node-drains")
    attempts.job_release(job=job, message="", attempt={})
    expect(page.locator(".drain")).to_contain_text("1 of 1 have left")
    drain_nodes()

    expect(page.locator("#node h1")).to_contain_text("Cordoned")
    expect(page.locator("#node")).to_contain_text("Nothing runs here")
    assert page.evaluate("window.mark") == 1
    assert Node.objects.get().state == "cordoned"


def test_cordon_asks_why_and_the_list_follows(page, new_page, sign_in, root):
    ready_node("n1")
    other = sign_in(new_page(), root)
    other.open("/nodes/")
    stays(other)
    sign_in(page, root).open("/nodes/")
    page.get_by_role("button", name="What can be done with n1").click()
    page.get_by_role("button", name="Cordon", exact=True).click()
    dialog = page.locator("#confirm")
    expect(dialog.get_by_role("button", name="Cordon")).to_be_disabled()
    dialog.get_by_label("Reason").fill("disk is being changed")
    dialog.get_by_role("button", name="Cordon").click()

    page.get_by_text("n1 gets no new jobs.").wait_for()
    expect(other.locator("#nodes")).to_contain_text("disk is being changed")
    assert other.evaluate("window.mark") == 1


def test_a_sign_of_life_is_seen_without_an_event(page, sign_in, root):
    node = ready_node("n1")
    sign_in(page, root).open("/nodes/")
    stays(page)
    node_heartbeat(
        name="n1", incarnation=node.incarnation, used_slots=0, health={"load": 7.5, "gpus": []}
    )

    expect(page.locator("#nodes")).to_contain_text("7.5")
    assert page.evaluate("window.mark") == 1


def test_pause_and_resume_change_the_page_as_they_happen(page, sign_in, ben, team, screenshot):
    job = claimed(team, title="Long training")
    sign_in(page, ben).open(f"/jobs/{job.pk}/")
    page.get_by_role("button", name="Pause").click()
    page.locator("#confirm").get_by_text("It saves a checkpoint").wait_for()
    page.locator("#confirm").get_by_role("button", name="Pause").click()

    expect(page.locator("#job-head h1")).to_contain_text("Pausing")
    expect(page.locator("#job-progress")).to_contain_text("Saving its work before it pauses")
    stays(page)
    attempts.job_release(job=job, message="", attempt={})
    expect(page.locator("#job-head h1")).to_contain_text("Paused")
    expect(page.locator("#job-progress")).to_contain_text("Paused by")
    screenshot(page, "job-paused")
    assert page.evaluate("window.mark") == 1

    page.get_by_role("button", name="Resume").click()
    page.get_by_text("Back in the queue.").wait_for()
    expect(page.locator("#job-progress")).to_contain_text("No ready node belongs to the pool")


def test_the_priority_is_changed_in_a_dialog_or_on_its_page(page, sign_in, ben, team):
    job = submitted(team, priority=3)
    sign_in(page, ben).open(f"/jobs/{job.pk}/")
    page.get_by_role("button", name="Priority").click()
    field = page.locator("#priority").get_by_label("Priority")
    expect(field).to_have_value("3")
    page.locator("#priority").get_by_role("button", name="Cancel").click()
    expect(page.locator("#priority")).to_be_hidden()
    page.get_by_role("button", name="Priority").click()
    field.fill("12")
    page.locator("#priority").get_by_role("button", name="Save").click()

    page.get_by_text("The priority is 12 now.").wait_for()
    job.refresh_from_db()
    assert job.priority == 12


def test_a_node_is_added_by_one_line(page, sign_in, root):
    sign_in(page, root).open("/nodes/")
    page.get_by_role("link", name="Add a node").first.click()
    page.get_by_label("Which machine it is for").fill("rack 4")
    page.get_by_role("button", name="Make a token").click()

    expect(page.locator("#join-command")).to_contain_text("make worker JOIN=")
    expect(page.locator("#join-tokens")).to_contain_text("Waits for its machine")
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator("#confirm")).to_contain_text("Revoke the join token for “rack 4”?")
    page.locator("#confirm").get_by_role("button", name="Revoke").click()
    page.get_by_text("The join token is revoked.").wait_for()


def test_the_line_to_paste_fits_a_phone(new_page, sign_in, root):
    page = sign_in(new_page(phone=True), root)
    page.open("/join-tokens/")
    page.get_by_role("button", name="Make a token").click()

    expect(page.locator("#join-command")).to_contain_text("TOKEN=slipjoin_")
    assert overflow(page) == []


@in_wide_light
def test_every_page_holds_its_layout_and_is_accessible(
    new_page, sign_in, root, team, violations, screenshot, phone, theme, language
):
    page = sign_in(new_page(phone=phone, theme=theme, language=language), root)
    pool_of("fast", teams=[team], selector={"gpu": "h100"}, gpus=2)
    ready_node("node-1", gpus=2, labels={"gpu": "h100", "a-long-label": "x" * 60})
    claimed(team, title="A job with a rather long name", pool="fast", resources={"gpus": 2})
    submitted(team, pool="fast", resources={"gpus": 1})
    paths = ["/nodes/", "/nodes/node-1/", "/nodes/node-1/drain/", "/nodes/node-1/labels/",
             "/join-tokens/", "/pools/", "/pools/fast/", "/pools/fast/edit/", "/pools/new/",
             f"/jobs/{Job.objects.latest('pk').pk}/", "/jobs/new/?kind=self_test"]  # fmt: skip
    wrong = []
    for path in paths:
        status = page.open(path).status
        for summary in page.locator("main details > summary").all():
            summary.click()
        found = [*overflow(page), *violations(page)]
        if status != 200 or found:
            wrong.append((path, status, found))
            screenshot(page, f"wrong-{path.strip('/').replace('/', '-')}-{theme}")

    assert not wrong, "\n".join(map(str, wrong))
