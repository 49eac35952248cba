"""Pages of jobs, the overview and the search: what each role sees and does."""

import datetime as dt

import pytest
from django.urls import reverse

from models_app.core.clock import now
from models_app.jobs import attempts, logs, metrics
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel
from models_app.pools.services.operations import node_cordon
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import pool_of, ready_node
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


class TestControl:
    def test_pauses_and_resumes(self, client_for, ben, team):
        job, client = claimed(team), client_for(ben)
        pause, resume = (reverse(f"job_{verb}", args=[job.pk]) for verb in ("pause", "resume"))
        assert pause in page(client, "job_detail", job.pk)

        answer = client.post(pause, follow=True)
        job.refresh_from_db()
        assert job.state == "pausing"
        assert "It saves a checkpoint first" in answer.content.decode()
        assert pause not in page(client, "job_detail", job.pk)
        attempts.job_release(job=job, message="", attempt={})
        text = page(client, "job_detail", job.pk)
        assert resume in text and "Paused by" in text
        client.post(resume)
        job.refresh_from_db()
        assert job.state == "pending"

    def test_offers_no_pause_of_what_saves_nothing(self, client_for, ben, team, monkeypatch):
        monkeypatch.setattr(type(job_kinds.get("self_test")), "pausable", False)
        running, waiting = claimed(team), submitted(team)
        client = client_for(ben)

        assert reverse("job_pause", args=[running.pk]) not in page(client, "job_detail", running.pk)
        assert reverse("job_pause", args=[waiting.pk]) in page(client, "job_detail", waiting.pk)

    def test_lets_a_held_job_go(self, client_for, ben, team):
        job, later = claimed(team), now() + dt.timedelta(minutes=5)
        Job.objects.filter(pk=job.pk).update(
            state="pending", lease_until=None, hold_until=later, run_after=later
        )
        client = client_for(ben)
        text = page(client, "job_detail", job.pk)

        assert "Held back" in text and "Start elsewhere now" in text
        client.post(reverse("job_resume", args=[job.pk]))
        job.refresh_from_db()
        assert job.hold_until is None

    def test_shows_the_priority_and_changes_it(self, client_for, ben, team):
        job, client = submitted(team, priority=7), client_for(ben)
        url = reverse("job_priority", args=[job.pk])
        assert 'value="7"' in page(client, "job_detail", job.pk)
        assert 'max="50"' in page(client, "job_priority", job.pk)

        assert client.post(url, {"priority": "-5"})["Location"] == f"/jobs/{job.pk}/"
        job.refresh_from_db()
        assert job.priority == -5

    @pytest.mark.parametrize("value", ["", "high", "101", "51", "1.5"])
    def test_puts_a_wrong_priority_beside_the_field(self, client_for, ben, team, value):
        job = submitted(team)
        answer = client_for(ben).post(reverse("job_priority", args=[job.pk]), {"priority": value})

        job.refresh_from_db()
        assert answer.status_code == 422
        assert 'id="id_priority_error"' in answer.content.decode()
        assert job.priority == 0

    def test_admins_of_the_team_go_above_the_replicas(self, client_for, ana, team):
        job = submitted(team)
        client_for(ana).post(reverse("job_priority", args=[job.pk]), {"priority": "90"})

        job.refresh_from_db()
        assert job.priority == 90

    def test_a_viewer_sees_no_button_and_is_refused(self, client_for, eve, team):
        job, client = submitted(team), client_for(eve)
        urls = [reverse(f"job_{verb}", args=[job.pk]) for verb in ("pause", "resume", "priority")]
        text = page(client, "job_detail", job.pk) + page(client, "job_list")

        assert not any(url in text for url in urls)
        assert {client.post(url).status_code for url in urls} == {403}

    def test_the_list_offers_the_same(self, client_for, ben, team):
        text = page(client_for(ben), "job_list") if submitted(team) else ""

        assert "/pause/" in text and "/priority/" in text and "/resume/" not in text


class TestWhyItWaits:
    def test_says_so_node_by_node(self, client_for, ben, root, team):
        ready_node("small", cpus=8)
        node_cordon(actor=root, node=ready_node("apart", cpus=8))
        claimed(team, node="small", resources={"cpus": 6})
        job = submitted(team, resources={"cpus": 4, "node_selector": {}})
        text = page(client_for(ben), "job_detail", job.pk)

        assert "The one node that could run it is busy: on small only 2 processors are free" in text
        assert "What each of its 2 nodes says" in text
        assert "it is cordoned" in text
        assert "4 processors" in text

    def test_is_gone_once_it_runs(self, client_for, ben, team):
        assert "Waiting to run" not in page(client_for(ben), "job_detail", claimed(team).pk)


def test_an_attempt_shows_how_it_was_fenced_in_and_how_it_ended(client_for, ben, team):
    job = claimed(team)
    fence = {"backend": "cgroup2", "limits": {"memory_mib": 512}, "no_new_privs": True}
    job.attempts.update(isolation=fence)
    attempts.job_fail(
        job=job, code="oom", message="Use a smaller batch.", permanent=True, attempt={}
    )
    text = page(client_for(ben), "job_detail", job.pk).split('id="job-attempts"')[1]

    assert "cgroup2" in text
    assert "limits.memory_mib" in text and "512" in text
    assert "Out of memory" in text


class TestPlacing:
    URL = "/jobs/new/?kind=self_test"
    FORM = {"team": "research", "params.outcome": "succeed"}

    def test_goes_with_the_job(self, client_for, ben, team):
        pool_of("fast", selector={"zone": "a"})
        ready_node("n1", labels={"zone": "a", "disk": "ssd"}, gpus=2)
        asked = {"pool": "fast", "priority": "-3", "resources.cpus": "2.5",
                 "resources.memory_mib": "1.5", "resources.disk_mib": "", "resources.gpus": "1",
                 "resources.node_selector": "disk=ssd"}  # fmt: skip
        client_for(ben).post(self.URL, {**self.FORM, **asked})
        job = Job.objects.get()

        assert (job.pool.name, job.priority, job.cpus, job.gpus) == ("fast", -3, 2.5, 1)
        assert (job.memory_mib, job.disk_mib) == (1536, 0)
        assert job.node_selector == {"disk": "ssd"}

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"pool": "nowhere"}, "pool"),
            ({"pool": "vault"}, "pool"),
            ({"priority": "200"}, "priority"),
            ({"priority": "80"}, "priority"),
            ({"resources.cpus": "64"}, "resources.cpus"),
            ({"resources.cpus": "-1"}, "resources.cpus"),
            ({"resources.memory_mib": "9999"}, "resources.memory_mib"),
            ({"resources.gpus": "1"}, "resources.gpus"),
            ({"resources.node_selector": "zone"}, "resources.node_selector"),
            ({"resources.node_selector": "zone=mars"}, "resources.node_selector"),
            ({"resources.node_selector": "zone=no spaces"}, "resources.node_selector"),
        ],
    )
    def test_puts_errors_beside_the_field_and_opens_the_part(
        self, client_for, ben, team, other_team, changes, field
    ):
        ready_node("n1")
        pool_of("vault", teams=[other_team])
        answer = client_for(ben).post(self.URL, {**self.FORM, **changes})
        text = answer.content.decode()

        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in text
        assert '<details class="wide options" open>' in text
        assert not Job.objects.exists()

    def test_is_folded_at_first_and_names_the_pools_of_ones_teams(
        self, client_for, ben, team, other_team
    ):
        pool_of("ours", teams=[team])
        pool_of("vault", teams=[other_team])
        text = client_for(ben).get(self.URL).content.decode()

        assert '<details class="wide options">' in text
        assert "ours" in text and "vault" not in text


def test_the_list_is_narrowed_to_a_pool(client_for, ben, team):
    pool_of("fast")
    submitted(team, title="Quick one", pool="fast")
    submitted(team, title="Any other")
    text = page(client_for(ben), "job_list", pool="fast")

    assert "Quick one" in text and "Any other" not in text


def test_outsiders_find_nothing(client_for, cai, team):
    job = submitted(team)
    pages = ["job_detail", "job_log_json", "job_log_text"]
    urls = [reverse(name, args=[job.pk]) for name in pages]
    urls.append(reverse("job_metrics_json", args=[job.pk, "loss"]))
    verbs = ("job_cancel", "job_rerun", "job_pause", "job_resume", "job_priority")
    posts = [reverse(name, args=[job.pk]) for name in verbs]

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


def test_search_finds_only_what_one_sees(client_for, ben, cai, team):
    submitted(team, title="Find me")
    found = client_for(ben).get(reverse("search"), {"q": "find"}).json()["results"]

    assert [row["label"] for row in found] == ["Find me"]
    assert client_for(cai).get(reverse("search"), {"q": "find"}).json()["results"] == []
