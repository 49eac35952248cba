"""Pages of jobs, nodes, the overview and the search: what each role sees and does."""

import pytest
from django.urls import reverse

from models_app.jobs import attempts, logs, metrics
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel
from models_app.pools.services.registration import node_register
from tests.factories.jobs import claimed, submitted
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
AT = "2026-01-01T00:00:00.000Z"


def page(client, name, *args, **query):
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


class TestJobList:
    def test_shows_the_teams_jobs_and_filters_them(self, client_for, ben, team):
        running = claimed(team, actor=ben, title="Under way")
        job_cancel(actor=ben, job=submitted(team, actor=ben, title="Put aside"))
        client = client_for(ben)

        assert "Under way" in page(client, "job_list")
        assert "Put aside" not in page(client, "job_list", state="open")
        assert "Put aside" not in page(client, "job_list", q=running.pk)
        assert "No job matches" in page(client, "job_list", q="nothing like it")

    def test_is_cut_into_pages(self, client_for, ben, team):
        for number in range(30):
            submitted(team, title=f"job number {number:02}")
        client = client_for(ben)

        assert "job number 29" in page(client, "job_list")
        assert "job number 04" in page(client, "job_list", page=2)

    def test_says_what_belongs_there_when_it_is_empty(self, client_for, ben):
        assert "No jobs yet" in page(client_for(ben), "job_list")

    def test_takes_no_more_queries_for_more_jobs(
        self, client_for, ben, team, django_assert_max_num_queries
    ):
        client = client_for(ben)
        for _ in range(20):
            submitted(team, actor=ben)
        with django_assert_max_num_queries(14):
            page(client, "job_list")


class TestJobPage:
    def test_shows_progress_log_and_chart(self, client_for, ben, team):
        job = claimed(team, actor=ben)
        logs.log_append(job=job, lines=[(AT, "job", "info", "<b>bold words</b>")], spool_offset=1)
        points = [("loss", step, 1.0 / step, AT) for step in (1, 2)]
        metrics.metrics_append(job=job, points=[*points, ("unigram_entropy", 0, 3.0, AT)])
        attempts.progress_report(job=job, values={"percent": 40.0, "stage": "testing"})
        text = page(client_for(ben), "job_detail", job.pk)

        assert "&lt;b&gt;bold words" in text
        assert 'id="L1"' in text
        assert "40%" in text
        assert "Training loss" in text

    def test_says_why_it_waits(self, client_for, ben, team):
        text = page(client_for(ben), "job_detail", submitted(team).pk)

        assert "No ready node belongs to the pool" in text

    def test_names_the_reason_of_a_failure(self, client_for, ben, team):
        job = claimed(team)
        attempts.job_fail(
            job=job, code="oom", message="Use a smaller batch.", permanent=True, attempt={}
        )
        text = page(client_for(ben), "job_detail", job.pk)

        assert "Out of memory" in text
        assert "Use a smaller batch." in text

    def test_gives_log_and_new_points_as_json(self, client_for, ben, team):
        job = claimed(team)
        rows = [(AT, "job", "info", f"l{n}") for n in range(3)]
        logs.log_append(job=job, lines=rows, spool_offset=1)
        metrics.metrics_append(job=job, points=[("value", n, float(n), AT) for n in range(5)])
        client = client_for(ben)
        log = client.get(reverse("job_log_json", args=[job.pk]), {"after": 1}).json()
        points = client.get(
            reverse("job_metrics_json", args=[job.pk, "value"]), {"after_step": 2}
        ).json()

        assert [line[0] for line in log["lines"]] == [2, 3]
        assert [point["step"] for point in points["points"]] == [3, 4]

    def test_offers_the_log_as_a_file(self, client_for, ben, team):
        job = claimed(team)
        logs.log_append(job=job, lines=[(AT, "job", "info", "kept")], spool_offset=1)
        answer = client_for(ben).get(reverse("job_log_text", args=[job.pk]))

        assert answer["Content-Disposition"].startswith("attachment")
        assert b"kept" in b"".join(answer.streaming_content)


class TestActions:
    def test_stop_and_run_again(self, client_for, ben, team):
        job = submitted(team, actor=ben)
        client = client_for(ben)
        client.post(reverse("job_cancel", args=[job.pk]))
        job.refresh_from_db()
        assert job.state == "canceled"

        client.post(reverse("job_rerun", args=[job.pk]))
        assert Job.objects.get(rerun_of=job).state == "pending"

    def test_a_viewer_may_look_but_not_stop(self, client_for, eve, team):
        job = submitted(team)
        client = client_for(eve)

        assert reverse("job_cancel", args=[job.pk]) not in page(client, "job_detail", job.pk)
        assert client.post(reverse("job_cancel", args=[job.pk])).status_code == 403

    def test_a_form_comes_from_the_kind_and_shows_errors_at_the_field(self, client_for, ben, team):
        client = client_for(ben)
        url = f"{reverse('job_new')}?kind=self_test"
        bad = client.post(url, {"team": "research", "params.steps": "-1"})

        assert bad.status_code == 422
        assert 'id="id_params.steps_error"' in bad.content.decode()
        assert not Job.objects.exists()
        client.post(url, {"team": "research", "params.steps": "2", "params.outcome": "succeed"})
        assert Job.objects.get().params["steps"] == 2


def test_outsiders_find_nothing(client_for, cai, team):
    job = submitted(team)
    pages = ["job_detail", "job_log_json", "job_log_text"]
    urls = [reverse(name, args=[job.pk]) for name in pages]
    urls.append(reverse("job_metrics_json", args=[job.pk, "loss"]))
    posts = [reverse(name, args=[job.pk]) for name in ("job_cancel", "job_rerun")]

    assert_hidden(client_for(cai), urls, posts)
    assert_needs_sign_in([*urls, reverse("job_list"), reverse("overview")], posts)
    job.refresh_from_db()
    assert job.state == "pending"


class TestOverview:
    def test_begins_with_first_steps(self, client_for, ben):
        assert "First steps" in page(client_for(ben), "overview")

    def test_puts_failures_of_ones_own_first(self, client_for, ben, team):
        job = claimed(team, actor=ben)
        attempts.job_fail(
            job=job, code="user_code", message="It broke.", permanent=True, attempt={}
        )

        assert f"Job {job.pk} failed" in page(client_for(ben), "overview")

    def test_tells_outsiders_nothing(self, client_for, cai, team):
        submitted(team, title="A secret plan")

        assert "A secret plan" not in page(client_for(cai), "overview")


def test_nodes_are_for_platform_admins(client_for, root, ben):
    node_register(name="gpu-1", incarnation="x", slots=4, capacity={"cpus": 8})

    assert "gpu-1" in page(client_for(root), "node_list")
    assert client_for(ben).get(reverse("node_list")).status_code == 403


def test_search_finds_only_what_one_sees(client_for, ben, cai, team):
    submitted(team, title="Find me")
    found = client_for(ben).get(reverse("search"), {"q": "find"}).json()["results"]

    assert [row["label"] for row in found] == ["Find me"]
    assert client_for(cai).get(reverse("search"), {"q": "find"}).json()["results"] == []
