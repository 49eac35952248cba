"""The page of a training: alarms with what to do, texts by step, processes, small charts."""

import pytest
from django.urls import reverse

from models_app.alerts.models import Alert
from models_app.jobs.models import Checkpoint, Job
from tests.factories.alerts import evaluated, rule, watched
from tests.factories.jobs import submitted
from tests.factories.trainings import ranks, told, training, wrote
from tests.matrix import assert_hidden

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(team):
    return training(team)


@pytest.fixture
def alarmed(ana, team, job):
    told(job, "loss", [*[2.0] * 40, 7.0])
    note = "Look at the data of that step."
    watched(ana, team, rule("jump", signal="training_loss_spike", above=3, note=note))
    evaluated()
    return job


def page(client, job, **query):
    return client.get(reverse("job_detail", args=[job.pk]), query).content.decode()


class TestAlarms:
    def test_say_what_is_wrong_how_far_and_what_to_do(self, client_for, ben, alarmed):
        text = page(client_for(ben), alarmed)

        assert "The loss has jumped" in text
        assert "3.5 ×" in text
        assert "above 3 ×" in text
        assert "Look at the data of that step." in text

    def test_stand_on_the_page_of_their_training_only(self, client_for, ben, team, alarmed):
        assert "The loss has jumped" not in page(client_for(ben), training(team))

    def test_name_the_checkpoint_to_go_back_to(self, client_for, ana, team, job):
        for step, loss in ((100, 2.5), (200, 1.9), (300, 3.0)):
            Checkpoint.objects.create(
                job=job, epoch=1, step=step, path="x", digest="d", size_bytes=1,
                metrics={"validation_loss": loss},
            )  # fmt: skip
        told(job, "loss", [5 - 0.1 * place for place in range(40)])
        told(job, "validation_loss", [1.9, 2.0, 2.6, 3.0], first=80, every=80)
        watched(ana, team, rule("over", signal="training_overfitting", above=2))
        evaluated()

        assert "The best checkpoint is of step 200, validation loss 1.9000." in page(
            client_for(ana), job
        )

    def test_are_acknowledged_there(self, client_for, ana, alarmed):
        client = client_for(ana)
        alert = Alert.objects.get()
        answer = client.post(reverse("alert_acknowledge", args=[alert.pk]), {"next": "job"})

        assert answer["Location"] == reverse("job_detail", args=[alarmed.pk])
        assert "looks after it" in page(client, alarmed)

    def test_lead_from_the_list_of_alerts_to_the_training(self, client_for, ana, alarmed):
        text = client_for(ana).get(reverse("alert_list")).content.decode()

        assert f'<a href="/jobs/{alarmed.pk}/">#{alarmed.pk}</a>' in text


class TestTexts:
    def test_the_newest_are_shown_and_escaped(self, client_for, ben, job):
        wrote(job, 100, "early words", prompt="The ship")
        wrote(job, 200, "<script>alert(1)</script>", prompt="The ship")
        text = page(client_for(ben), job)

        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert(1)" not in text
        assert "early words" not in text

    @pytest.mark.parametrize(
        ("asked", "shown"),
        [("100", "words of 100"), ("0", "words of 100"), ("199", "words of 200"),
         ("x", "words of 300"), ("9" * 30, "words of 300")],
    )  # fmt: skip
    def test_any_step_can_be_asked_for(self, client_for, ben, job, asked, shown):
        for step in (100, 200, 300):
            wrote(job, step, f"words of {step}")
        text = page(client_for(ben), job, sample=asked)

        assert shown in text
        assert text.count("words of") == 1

    def test_an_empty_prompt_and_an_empty_text_are_named(self, client_for, ben, job):
        wrote(job, 100, "")
        text = page(client_for(ben), job)

        assert "(a document begins)" in text
        assert "(nothing: it ends here)" in text

    def test_are_read_by_programs(self, api_for, ben, job):
        for step in (100, 200, 300):
            wrote(job, step, "one", "two", prompt="p")
        url = reverse("api_job_samples", args=[job.pk])
        api = api_for(ben)

        newer = api.get(url, {"after_step": 100, "limit": 3}).json()
        assert [(row["step"], row["place"]) for row in newer] == [
            (200, 0), (200, 1), (300, 0), (300, 1)
        ]  # fmt: skip
        assert [row["text"] for row in api.get(url, {"step": 200}).json()] == ["one", "two"]
        assert api.get(url, {"step": 150}).json() == []
        assert "limit" in api.get(url, {"limit": 0}).json()["errors"]

    def test_outsiders_learn_nothing(self, client_for, cai, job):
        assert_hidden(
            client_for(cai),
            [reverse("api_job_samples", args=[job.pk]), reverse("job_detail", args=[job.pk])],
        )


class TestProcesses:
    def test_the_slow_one_is_marked(self, client_for, ben, job):
        ranks(job, 0.3, 0.9, 0.3, 0.3)
        rows = client_for(ben).get(reverse("job_detail", args=[job.pk])).context["ranks"]

        assert [(rank.number, rank.slow) for rank, _ in rows] == [
            (0, False), (1, True), (2, False), (3, False)
        ]  # fmt: skip
        assert [round(share) for _, share in rows] == [33, 100, 33, 33]

    def test_one_alone_needs_no_table(self, client_for, ben, job):
        ranks(job, 0.3)

        assert client_for(ben).get(reverse("job_detail", args=[job.pk])).context["ranks"] == []

    def test_their_figures_are_no_charts_of_their_own(self, client_for, ben, job):
        ranks(job, 0.3, 0.3)
        told(job, "loss", [1, 2])

        assert "rank-0-step-seconds" not in page(client_for(ben), job)


class TestCharts:
    def test_small_ones_stand_beside_the_loss(self, client_for, ben, job):
        told(job, "loss", [3, 2])
        for name in ("learning_rate", "gradient_norm", "tokens_per_second", "step_seconds"):
            told(job, name, [1, 2])
        told(job, "mfu_percent", [40, 41])
        told(job, "memory_bytes", [1 << 30, 1 << 30])
        client = client_for(ben)
        context = client.get(reverse("job_detail", args=[job.pk])).context
        points = client.get(reverse("job_metrics_json", args=[job.pk, "course"])).json()["points"]

        assert context["group"].slug == "loss"
        assert [group.slug for group, _ in context["course"]] == [
            "rate", "gradient", "speed", "steps", "use", "memory"
        ]  # fmt: skip
        assert context["course"][-1][1]["unit"] == "MiB"
        assert [point["values"]["memory_bytes"] for point in points] == [1024.0, 1024.0]
        assert "loss" not in points[0]["values"]

    def test_one_address_has_the_new_points_of_all_small_ones(self, client_for, ben, job):
        told(job, "loss", [3, 2])
        told(job, "learning_rate", [0.1, 0.2])
        told(job, "memory_bytes", [1 << 20, 3 << 20])
        url = reverse("job_metrics_json", args=[job.pk, "course"])

        assert client_for(ben).get(url, {"after_step": 10}).json() == {
            "points": [{"step": 20, "values": {"learning_rate": 0.2, "memory_bytes": 3.0}}]
        }

    def test_the_figures_of_now_stand_above(self, client_for, ben, job):
        for name, value in (("loss", 2.5), ("step_seconds", 0.25), ("mfu_percent", 41.26),
                            ("skipped_steps", 3), ("rewinds", 0)):  # fmt: skip
            told(job, name, [value])
        text = page(client_for(ben), job)

        assert "2.5000" in text
        assert "250 ms" in text
        assert "41.3%" in text
        assert "skipped steps" in text
        assert "rewinds <b" not in text


def test_a_job_that_is_no_training_has_none_of_it(client_for, ben, team):
    job = submitted(team)
    context = client_for(ben).get(reverse("job_detail", args=[job.pk])).context

    assert (context["alarms"], context["texts"], context["ranks"]) == ([], None, [])


def test_takes_no_more_queries_for_more_of_everything(
    client_for, ben, team, django_assert_max_num_queries
):
    job = training(team)
    for step in range(100, 2000, 100):
        wrote(job, step, "a", "b", "c")
    ranks(job, *[0.3] * 8)
    for name in ("loss", "learning_rate", "gradient_norm", "tokens_per_second", "memory_bytes"):
        told(job, name, range(50))
    Job.objects.filter(pk=job.pk).update(percent=50)
    client = client_for(ben)
    page(client, job)
    with django_assert_max_num_queries(60):
        page(client, job)


def test_a_refresh_of_the_page_reads_no_points(client_for, ben, team):
    job = training(team)
    for name in ("loss", "learning_rate"):
        told(job, name, range(50))
    client, url = client_for(ben), reverse("job_detail", args=[job.pk])

    whole, fresh = client.get(url), client.get(url, headers={"X-Live-Refresh": "1"})
    assert len(whole.context["chart"]["x"]) == 50
    assert fresh.context["chart"]["x"] == []
    assert fresh.context["chart"]["labels"] == whole.context["chart"]["labels"]
