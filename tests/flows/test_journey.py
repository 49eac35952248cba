"""Three people take a model from a file to production and back, by clicking, in a real browser.

Nothing is faked: the ASGI application, a Celery worker with its child processes, the clock, the
model servers, PostgreSQL, Redis and Chromium. Pictures of the stations are kept for the eye.
"""

import json
import random
import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from console.access.models import User
from models_app.audit.models import AuditEvent
from tests.browser.conftest import overflow
from tests.browser.looks import FULL
from tests.factories.access import PASSWORD
from tests.waiting import WAIT_S

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OWN_PASSWORD = "a long walk by the sea"
STEPS = 40
LIVE = WAIT_S * 1000


def poems() -> bytes:
    """Two hundred short documents, always the same."""
    dice = random.Random(7)
    line = "the quiet river runs beside a green garden where seven small birds sing at dawn"
    words = line.split()
    lines = []
    for number in range(200):
        text = "\n".join(" ".join(dice.choices(words, k=8)) for _ in range(6))
        lines.append(json.dumps({"text": f"Poem {number}\n{text}\n"}))
    return "\n".join(lines).encode()


class Journey:
    """The stations, one method each; they build on each other."""

    def __init__(self, new_page, screenshot, ana, dan, eve):
        self.people = {"ana": ana, "dan": dan, "eve": eve}
        self.ana, self.dan, self.eve = new_page(), new_page(), new_page()
        self.new_page, self.screenshot = new_page, screenshot
        self.deployment = "/deployments/research/poet/"

    def shoot(self, page, name):
        """A picture; what a reader of the page would hold against it fails the test."""
        if FULL:
            page.wait_for_timeout(150)  # the toast and the chart have settled
        page.evaluate("scrollTo(0, 0)")
        assert overflow(page) == [], name
        self.screenshot(page, f"journey-{name}")

    def shoot_all(self, page, path, name):
        """Dark and on a phone as well, and in Chinese: `make looks` only."""
        if not FULL:
            return
        state = page.context.storage_state()
        for kind, options in {
            "dark": {"theme": "dark"},
            "phone": {"phone": True},
            "zh": {"language": "zh-hans"},
        }.items():
            other = self.new_page(**options)
            other.context.add_cookies(state["cookies"])
            other.open(path)
            self.shoot(other, f"{name}-{kind}")
            other.context.close()

    # ---- who it is

    def sign_in(self, page, name, password):
        page.open("/")
        page.get_by_label("Email").fill(self.people[name].email)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()

    def everybody_signs_in(self):
        User.objects.filter(pk=self.people["ana"].pk).update(must_change_password=True)
        self.ana.open("/")
        self.shoot(self.ana, "01-sign-in")
        self.sign_in(self.ana, "ana", PASSWORD)
        self.ana.get_by_role("heading", name="Choose your own password").wait_for()
        self.shoot(self.ana, "02-own-password")
        self.ana.open("/datasets/")
        self.ana.get_by_role("heading", name="Choose your own password").wait_for()
        self.ana.locator("#id_old_password").fill(PASSWORD)
        self.ana.locator("#id_new_password").fill(OWN_PASSWORD)
        self.ana.locator("#id_again").fill(OWN_PASSWORD)
        self.ana.get_by_role("button", name="Save the password").click()
        self.ana.locator("nav#nav").wait_for()
        self.sign_in(self.dan, "dan", PASSWORD)
        self.sign_in(self.eve, "eve", PASSWORD)
        for page in (self.dan, self.eve):
            page.locator("nav#nav").wait_for()
        self.ana.open("/")
        self.shoot(self.ana, "03-overview-empty")

    # ---- data

    def data_is_imported(self):
        page = self.ana
        page.get_by_role("link", name="Datasets", exact=True).click()
        page.get_by_role("link", name="New dataset").first.click()
        page.locator("#id_name").fill("poems")
        page.locator("#id_files").set_input_files(
            [{"name": "poems.jsonl", "mimeType": "application/json", "buffer": poems()}]
        )
        self.shoot(page, "04-dataset-new")
        page.get_by_role("button", name="Create and import").click()
        page.wait_for_url("**/datasets/research/poems/versions/1/")
        # No reload from here: the page itself hears that the import is over.
        expect(page.locator("#version-tabs")).to_be_visible(timeout=LIVE)
        expect(page.locator(".docs > li").first).to_contain_text("Poem")
        self.shoot(page, "05-dataset-version")

    # ---- training

    def training_is_watched(self):
        page = self.ana
        page.open("/training/new/")
        page.get_by_label("Name of the new model").fill("poet")
        page.locator("input[name=preset]").first.check()
        page.get_by_label("Tokenizer", exact=True).select_option("char")
        page.get_by_label("Vocabulary").fill("64")
        page.get_by_label("Sequence length").fill("64")
        page.get_by_label("Batch size").fill("8")
        page.get_by_label("Steps", exact=True).fill(str(STEPS))
        page.get_by_text("Advanced").click()
        page.get_by_label("Evaluate every").fill("10")
        page.get_by_label("Evaluation batches").fill("2")
        page.get_by_label("Checkpoint every").fill("20")
        page.get_by_label("Report every").fill("1")
        page.get_by_label("Warm-up steps").fill("4")
        page.get_by_label("Threads").fill("1")
        page.get_by_label("Threads").blur()
        page.locator("#plan").get_by_text("Epochs").wait_for()
        self.shoot(page, "06-training-new")
        page.get_by_role("button", name="Start the training").click()
        page.wait_for_url("**/jobs/*/")
        job = page.page.url.removeprefix(page.url)
        page.evaluate("window.notReloaded = true")
        expect(page.locator(".log-line").first).to_be_visible(timeout=LIVE)
        loss = page.get_by_role("img", name="Loss").locator("canvas")
        expect(loss).to_be_visible(timeout=LIVE)
        self.shoot(page, "07-training-live")
        self.shoot_all(page, job, "07-training-live")
        rows = page.locator("#job-metrics-table tbody tr")
        expect(page.locator("#job-head .state").first).to_have_text("Succeeded", timeout=LIVE)
        assert page.evaluate("window.notReloaded") is True
        # Every step has arrived in the chart, and the table beside it ends with the last one.
        drawn = "UI.chart.data(document.querySelector('[data-chart]')).x.length"
        page.until(f"{drawn} === {STEPS + 1}")
        page.locator("#job-chart").get_by_text("Show as table").click()
        expect(rows.last.locator("td").first).to_have_text(str(STEPS))
        page.locator("#job-chart").get_by_text("Show as table").click()
        self.shoot(page, "08-training-done")

    def version_is_evaluated(self):
        page = self.ana
        page.locator("#job-head").get_by_role("link", name="poet v1").click()
        page.get_by_role("link", name="Evaluate", exact=True).click()
        self.shoot(page, "09-evaluation-new")
        page.get_by_role("button", name="Evaluate").click()
        page.wait_for_url(re.compile(r"/(jobs|evaluations)/\d+/"))
        expect(page.locator(".head .state").first).to_have_text("Succeeded", timeout=LIVE)
        page.open("/models/research/poet/versions/1/")
        expect(page.locator(".kpis")).to_contain_text("Bits per byte")
        self.shoot(page, "10-version")
        self.shoot_all(page, "/models/research/poet/versions/1/", "10-version")

    # ---- approval and roll-out

    def production_is_asked_for(self):
        page = self.ana
        page.open("/models/research/poet/versions/1/")
        page.get_by_role("link", name="Deploy", exact=True).click()
        page.locator("#id_name").fill("poet")
        page.get_by_label("Environment").select_option("production")
        page.get_by_label("Threads").fill("1")
        page.get_by_label("Why").fill("The first poet that rhymes.")
        page.get_by_label("Why").blur()
        page.get_by_text("Starts 1 replica with about").wait_for()
        self.shoot(page, "11-deployment-new")
        page.get_by_role("button", name="Deploy", exact=True).click()
        page.wait_for_url(f"**{self.deployment}")
        page.get_by_label("Waiting for approval").wait_for()
        expect(page.locator("#deployment-head .state").first).to_have_text("Pending approval")
        self.shoot(page, "12-deployment-waits")
        page.get_by_label("Waiting for approval").get_by_role("link", name="Review").click()
        # Whoever asked is told why she cannot decide, and gets no form.
        expect(page.get_by_role("button", name="Submit decision")).to_have_count(0)
        expect(page.locator("section", has=page.locator("#decide"))).to_contain_text(
            re.compile("yourself|somebody else|your own", re.I)
        )
        self.shoot(page, "13-requester")

    def request_is_approved(self, name, comment):
        page = self.dan
        page.open("/")
        page.get_by_role("link", name=re.compile("^Approvals")).first.click()
        self.shoot(page, f"{name}-inbox")
        page.get_by_role("link", name=re.compile("Deploy poet")).first.click()
        path = page.page.url.removeprefix(page.url)
        self.shoot(page, f"{name}-review")
        self.shoot_all(page, path, f"{name}-review")
        page.get_by_role("radio", name="Approve").check()
        page.get_by_label("Comment").fill(comment)
        page.get_by_role("button", name="Submit decision").click()
        page.get_by_text("Approved. The change is being carried out.").wait_for()

    def roll_out_is_watched(self):
        page = self.ana
        page.open(self.deployment)
        page.evaluate("window.notReloaded = true")
        self.request_is_approved("14", "The loss is low enough.")
        head = page.locator("#deployment-head .state").first
        expect(head).to_have_text("In service", timeout=LIVE)
        assert page.evaluate("window.notReloaded") is True

    # ---- use

    def playground_streams(self):
        page = self.eve
        page.open(self.deployment)
        page.get_by_role("link", name="Try it").click()
        page.get_by_role("button", name="Complete text").click()
        page.locator("#p-max").fill("48")
        # By chance so young a model says nothing at all.
        page.locator("#p-temperature").fill("0")
        page.fill("#prompt", "the quiet river")
        page.get_by_role("button", name="Send").click()
        body = page.locator("[data-pane=a] .msg:not(.from-user) .msg-body").last
        expect(body).to_have_text(re.compile(r"\S{2,}"), timeout=LIVE)
        expect(page.locator("[data-pane=a] [data-ttft]")).to_have_text(re.compile(r"\d+ ms"))
        page.locator(".msg-tools").first.wait_for()
        expect(page.locator("[data-pane=a] [data-cost]")).to_have_text(re.compile(r"\d+ \+ \d+"))
        self.shoot(page, "15-playground")
        self.shoot_all(page, "/playground/?a=research/poet", "15-playground")
        self.ana.open(self.deployment)
        self.shoot(self.ana, "16-deployment")
        self.shoot_all(self.ana, self.deployment, "16-deployment")

    # ---- forward and back

    def second_revision_and_back(self):
        page = self.ana
        page.open(self.deployment)
        page.get_by_role("link", name="New revision").click()
        page.get_by_label("Requests at once").fill("2")
        page.get_by_label("Why").fill("Fewer at once, quicker each.")
        page.get_by_role("button", name="Ask for approval").click()
        page.get_by_label("Waiting for approval").wait_for()
        self.request_is_approved("17", "Worth a try.")
        head = page.locator("#deployment-head")
        expect(head).to_contain_text("r2", timeout=LIVE)
        self.shoot(page, "18-second-revision")
        page.get_by_role("button", name="Roll back to this").first.click()
        page.locator("#confirm").get_by_label("Reason").fill("It was better before.")
        self.screenshot(page, "journey-19-roll-back", full=False)
        page.locator("#confirm").get_by_role("button", name="Roll back").click()
        expect(head).to_contain_text("r1", timeout=LIVE)
        self.shoot(page, "20-rolled-back")

    def audit_tells_the_chain(self):
        page = self.ana
        page.open("/audit/")
        self.shoot(page, "21-audit")
        expect(page.locator("table")).to_contain_text("deployment.rollback_requested")
        done = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
        chain = iter(done)
        for action in CHAIN:
            assert action in chain, f"{action} is missing in {done}"
        page.open("/")
        self.shoot(page, "22-overview")
        self.shoot_all(page, "/", "22-overview")


#: What the audit log must tell, in this order.
CHAIN = [
    "user.password_changed",
    "dataset.created",
    "dataset_version.ready",
    "model_version.training_started",
    "model_version.ready",
    "evaluation.completed",
    "deployment.created",
    "revision.created",
    "approval.requested",
    "approval.voted",
    "approval.approved",
    "rollout.started",
    "approval.executed",
    "revision.activated",
    "revision.created",
    "approval.approved",
    "revision.activated",
    "deployment.rollback_requested",
    "revision.activated",
]


def test_from_a_file_to_production_and_back(
    environments, worker, clock, new_page, screenshot, ana, dan, eve
):
    journey = Journey(new_page, screenshot, ana, dan, eve)
    stations = [
        journey.everybody_signs_in,
        journey.data_is_imported,
        journey.training_is_watched,
        journey.version_is_evaluated,
        journey.production_is_asked_for,
        journey.roll_out_is_watched,
        journey.playground_streams,
        journey.second_revision_and_back,
        journey.audit_tells_the_chain,
    ]
    for station in stations:
        begun = datetime.now(UTC)
        station()
        print(f"{station.__name__}: {(datetime.now(UTC) - begun).total_seconds():.1f} s")
