"""Pages of deployments: list, new, detail, revisions, and what moves them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from models_app.configs.services import config_revise, overlay_revise
from models_app.core.clock import now
from models_app.deployments.models import Deployment, RequestRecord
from models_app.deployments.reconcile import reconcile_deployment
from models_app.jobs import attempts
from tests.factories.deployments import (
    claim,
    deployment_of,
    environment,
    live,
    ready_version,
    revision_of,
    serving,
    settle,
)

pytestmark = pytest.mark.django_db
SPEC = {
    "replicas": 1,
    "threads": 1,
    "max_slots": 4,
    "max_context": 0,
    "dtype": "fp32",
    "keep_warm_s": 60,
}
HERE = ("research", "writer")


@pytest.fixture
def deployment(ana, team):
    return serving(ana, team)


def at(name, *more):
    return reverse(name, args=[*HERE, *more])


def text(answer):
    return answer.content.decode()


class TestList:
    def test_shows_what_serves(self, ana, deployment, client_for):
        page = text(client_for(ana).get("/deployments/"))
        assert "research/writer" in page
        assert "In service" in page
        assert "poet v1" in page

    def test_filters(self, ana, deployment, client_for):
        client = client_for(ana)
        assert "research/writer" in text(client.get("/deployments/?environment=development&q=wri"))
        assert "No deployment matches" in text(client.get("/deployments/?environment=staging"))

    def test_is_empty_for_outsiders(self, cai, deployment, client_for):
        page = text(client_for(cai).get("/deployments/"))
        assert "research/writer" not in page
        assert "Nothing is deployed yet" in page


class TestNew:
    def test_makes_a_deployment_with_its_first_revision(self, ana, team, client_for):
        environment("development")
        version = ready_version(team)
        client = client_for(ana)
        form = text(client.get(f"/deployments/new/?version={version.pk}"))
        assert f'<option value="{version.pk}" selected' in form

        data = {
            "name": "writer",
            "environment": "development",
            "model_version": version.pk,
            **SPEC,
            "reason": "first",
        }
        answer = client.post("/deployments/new/", data)

        assert answer.status_code == 302
        assert answer["Location"] == at("deployment_detail")
        assert Deployment.objects.get().revisions.get().state == "rolling_out"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"name": "No Good"}, "lower-case letters"),
            ({"replicas": 99}, "less than or equal to 16"),
            ({"environment": "moon"}, "Select a valid choice"),
            ({"model_version": 10**9}, "Select a valid choice"),
        ],
    )
    def test_errors_stand_beside_the_field_and_nothing_is_made(
        self, ana, team, client_for, changes, message
    ):
        environment("development")
        version = ready_version(team)
        data = {"name": "w", "environment": "development", "model_version": version.pk, **SPEC}
        answer = client_for(ana).post("/deployments/new/", {**data, **changes})
        assert answer.status_code == 422
        assert message in text(answer)
        assert not Deployment.objects.exists()

    def test_everything_that_is_wrong_is_said_at_once_beside_its_field(self, ana, team, client_for):
        environment("development")
        wrong = {
            "name": "No Good",
            "replicas": 99,
            "golden_prompts": "[[[: nonsense",
            "timezone": "Mars/Phobos",
            "min_replicas": "9",
            "max_replicas": "3",
        }
        data = {"environment": "development", "model_version": ready_version(team).pk, **SPEC}

        form = client_for(ana).post("/deployments/new/", {**data, **wrong}).context["form"]

        assert set(form.errors) == {
            "name", "replicas", "golden_prompts", "timezone", "min_replicas",
        }  # fmt: skip
        assert form.folded_open()

    def test_a_judge_that_cannot_judge_is_said_beside_its_field(self, ana, team, client_for):
        environment("development")
        shadow = {"strategy": "shadow", "judge": "nobody", "judge_by": "likelihood"}
        data = {"name": "w", "environment": "development", "model_version": ready_version(team).pk}

        answer = client_for(ana).post("/deployments/new/", {**data, **SPEC, **shadow})

        assert answer.status_code == 422
        said = ["The team has no deployment 'nobody'."]
        assert answer.context["form"].errors == {"judge": said}
        assert not Deployment.objects.exists()

    def test_choices_have_names(self, ana, team, client_for):
        environment("development")
        ready_version(team)
        page = text(client_for(ana).get("/deployments/new/"))
        assert '<option value="blue_green" selected>Blue/green</option>' in page
        assert '<option value="" selected>The default pool</option>' in page

    def test_without_a_version_says_what_to_do(self, ana, client_for):
        assert "no ready version" in text(client_for(ana).get("/deployments/new/"))

    def test_offers_no_version_of_another_team(self, ana, team, other_team, client_for):
        foreign = ready_version(other_team, name="secret")
        ready_version(team)
        environment("development")
        client = client_for(ana)
        assert "secret" not in text(client.get("/deployments/new/"))
        data = {"name": "w", "environment": "development", "model_version": foreign.pk, **SPEC}
        assert client.post("/deployments/new/", data).status_code == 422

    def test_the_plan_says_what_it_will_start(self, ana, team, client_for):
        environment("production")
        version = ready_version(team)
        data = {"model_version": version.pk, "environment": "production", **SPEC, "replicas": 3}
        page = text(client_for(ana).post("/deployments/plan/", data))
        assert "Starts 3 replicas" in page
        assert "1 approval is needed" in page
        page = text(client_for(ana).post("/deployments/plan/", {**data, "replicas": 0}))
        assert "Fill in the form" in page


class TestDetail:
    def test_shows_everything_that_applies(self, ana, deployment, client_for):
        RequestRecord.objects.create(
            request_id="req_abc", at=now(), deployment=deployment, endpoint="chat/completions",
            status=200, outcome="stop", total_ms=50, first_token_ms=12, completion_tokens=7,
            prompt_tokens=3,
        )  # fmt: skip
        page = text(client_for(ana).get(at("deployment_detail")))
        for part in ("In service", "req_abc", "12<small> ms", "curl http", "base_url=", "Scale"):
            assert part in page
        assert reverse("job_detail", args=[live(deployment)[0].job_id]) in page

    def test_shows_the_pending_change(self, ana, team, client_for):
        deployment = deployment_of(ana, team, env="production")
        revision = revision_of(ana, deployment)
        page = text(client_for(ana).get(at("deployment_detail")))
        assert reverse("approval_detail", args=[revision.approval_id]) in page
        assert "Waiting for approval" in page

    def test_shows_the_roll_out_and_its_failure(self, ana, deployment, client_for):
        revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        client = client_for(ana)
        assert "0 of 1 replicas are ready" in text(client.get(at("deployment_detail")))
        job = claim(live(deployment)[-1])
        attempts.job_fail(job=job, code="oom", message="Too big.", permanent=True, attempt={})
        reconcile_deployment(deployment.pk)
        page = text(client.get(at("deployment_detail")))
        assert "r2 did not come up" in page
        assert "Try again" in page
        assert "Too big." in text(client.get(at("revision_detail", 2)))

    def test_more_revisions_ask_no_more_of_the_database(
        self, ana, deployment, client_for, django_assert_max_num_queries
    ):
        client = client_for(ana)
        with CaptureQueriesContext(connection) as few:
            client.get(at("deployment_detail"))
        for _more in range(3):
            revision_of(ana, deployment)
            settle(deployment)
        with django_assert_max_num_queries(len(few) + 3):
            page = text(client.get(at("deployment_detail")))
        assert page.count("Roll back to this") == 3

    def test_viewers_see_no_buttons(self, eve, deployment, client_for):
        page = text(client_for(eve).get(at("deployment_detail")))
        assert "New revision" not in page
        assert at("deployment_stop") not in page


class TestActions:
    def test_new_revision_is_filled_in_and_rolls_out(self, ana, deployment, client_for):
        version = ready_version(deployment.team, text="newer")
        client = client_for(ana)
        assert client.get(at("revision_new")).status_code == 200
        data = {"model_version": version.pk, **SPEC, "reason": "newer"}
        assert client.post(at("revision_new"), data).status_code == 302
        assert deployment.revisions.count() == 2

    def test_the_form_gives_back_what_serves_unchanged(self, ana, team, client_for):
        kept = {"golden_prompts": ["two\nlines", "it's"], "strategy": "rolling", "bake_s": 7}
        deployment = serving(ana, team, **kept)
        client = client_for(ana)
        form = client.get(at("revision_new")).context["form"]
        sent = {name: form[name].value() for name in form.fields}
        # A roll-out in steps without a share has no use for these, so the page does not send them.
        unsent = ("canary_percent", "step_percent", "bake_s", "draft_tokens", "share_answers",
                  "wait_for_promotion")  # fmt: skip
        data = {k: v for k, v in sent.items() if k not in unsent and v is not None}

        assert client.post(at("revision_new"), {**data, "replicas": 2}).status_code == 302

        spec = deployment.revisions.get(number=2).config_revision.spec
        before = deployment.active_revision.config_revision.spec
        assert spec == {**before, "replicas": 2}

    def test_the_same_again_is_an_error_beside_the_version(self, ana, deployment, client_for):
        revision = deployment.active_revision
        data = {"model_version": revision.model_version_id, **revision.config_revision.spec}
        answer = client_for(ana).post(at("revision_new"), data)
        assert answer.status_code == 422
        assert "serves exactly this" in text(answer)

    def test_roll_back_with_one_button(self, ana, deployment, client_for):
        revision_of(ana, deployment)
        settle(deployment)
        client = client_for(ana)
        page = text(client.get(at("deployment_detail")))
        assert "Its replicas are still loaded" in page
        answer = client.post(at("deployment_roll_back"), {"to": 1, "reason": "worse"}, follow=True)
        assert "r1 serves again." in text(answer)

    def test_abort_scale_stop_start(self, ana, deployment, client_for):
        client = client_for(ana)
        scaled = client.post(at("deployment_scale"), {"replicas": 2}, follow=True)
        assert "r2 is being rolled out." in text(scaled)
        assert "aborted" in text(client.post(at("deployment_abort"), follow=True))
        assert "Stopped" in text(client.post(at("deployment_stop"), follow=True))
        assert "Started." in text(client.post(at("deployment_start"), follow=True))

    def test_what_is_wrong_becomes_a_message(self, ana, deployment, client_for):
        answer = client_for(ana).post(at("deployment_scale"), {"replicas": "many"}, follow=True)
        assert "Use a whole number." in text(answer)

    def test_reading_changes_nothing(self, ana, deployment, client_for):
        for name in ("stop", "start", "abort", "scale", "roll_back"):
            assert client_for(ana).get(at(f"deployment_{name}")).status_code == 405


class TestRights:
    GETS = ("deployment_detail", "deployment_requests", "revision_new")
    POSTS = ("stop", "start", "abort", "scale", "roll_back")

    def test_outsiders_get_404(self, cai, deployment, client_for):
        client = client_for(cai)
        for name in self.GETS:
            assert client.get(at(name)).status_code == 404
        assert client.get(at("revision_detail", 1)).status_code == 404
        for name in self.POSTS:
            assert client.post(at(f"deployment_{name}"), {"replicas": 1}).status_code == 404
        assert client.post(at("revision_roll_out", 1)).status_code == 404
        plan = "/deployments/plan/?team=research&deployment=writer"
        assert client.post(plan, {}).status_code == 404

    def test_viewers_may_not(self, eve, deployment, client_for):
        client = client_for(eve)
        assert client.get(at("deployment_requests")).status_code == 200
        assert client.get(at("revision_new")).status_code == 403
        assert client.get("/deployments/new/").status_code == 403
        for name in ("stop", "scale", "roll_back", "adapter_add"):
            assert client.post(at(f"deployment_{name}"), {"replicas": 1}).status_code == 403

    def test_signed_out_people_sign_in(self, client, deployment):
        assert client.get(at("deployment_detail")).status_code == 302
        assert client.post(at("deployment_stop")).status_code == 302


def test_no_inline_style_or_script(ana, deployment, client_for):
    client = client_for(ana)
    pages = ["/deployments/", "/deployments/new/", at("deployment_detail"), at("revision_new")]
    for url in [*pages, at("revision_detail", 1), at("deployment_requests")]:
        page = text(client.get(url))
        assert " style=" not in page
        assert " onclick=" not in page


class TestConfigurations:
    def test_a_revision_is_made_of_a_configuration(self, ana, team, client_for):
        deployment = serving(ana, team)
        base = config_revise(
            actor=ana, team=team, kind="serving", name="small", spec={"threads": 3}
        )
        overlay_revise(
            actor=ana, config=base.config, environment="development", patch={"replicas": 2},
            reason="Load",
        )  # fmt: skip
        client = client_for(ana)
        url = "/deployments/research/writer/revisions/new/"
        form = {"model_version": deployment.active_revision.model_version_id, "config": base.pk}

        page = client.get(f"{url}?config={base.pk}").content.decode()
        plan = client.post("/deployments/plan/?team=research&deployment=writer", form)
        client.post(url, form)

        made = deployment.revisions.get(number=2)
        assert f'value="{base.pk}" selected' in page
        assert "overlay o1" in plan.content.decode()
        assert (made.config_revision, made.replicas) == (base, 2)
        shown = client.get("/deployments/research/writer/revisions/2/").content.decode()
        assert "development o1" in shown
        assert "small r1 + development o1" in shown
