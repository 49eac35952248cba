"""Placement: filter, score, reserve; fairness over teams; and one sentence for whoever waits."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.core.errors import InvalidInput, PermissionDenied
from models_app.jobs.models import Job
from models_app.jobs.placement import place_jobs
from models_app.jobs.states import JobState
from models_app.jobs.waiting import refusals, why_waiting
from models_app.pools.models import Node
from models_app.pools.states import NodeState
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import pool_of, ready_node, silent_node

pytestmark = pytest.mark.django_db


def place(*jobs):
    """One round; where each job is now."""
    place_jobs()
    for job in jobs:
        job.refresh_from_db()
    return [job.node_name if job.state == JobState.SCHEDULED else "" for job in jobs]


class TestPlaceJobs:
    def test_gives_a_waiting_job_a_place(self, team):
        ready_node("n1")

        assert place(submitted(team)) == ["n1"]

    def test_does_nothing_where_no_node_is_ready(self, team):
        silent_node("n1")
        Node.objects.filter(name=ready_node("n2").name).update(state=NodeState.CORDONED)

        assert place(submitted(team)) == [""]

    def test_fills_no_node_beyond_its_slots(self, team):
        ready_node("n1", slots=2)

        assert place(*(submitted(team) for _ in range(3))) == ["n1", "n1", ""]

    def test_gives_inline_jobs_places_beyond_the_slots(self, team):
        ready_node("n1", slots=1)
        full = submitted(team)
        pings = [submitted(team, kind="ping", params={}) for _ in range(3)]

        assert place(full, *pings) == ["n1"] * 4

    def test_inline_jobs_do_not_wait_behind_a_page_of_jobs_without_a_slot(self, team, monkeypatch):
        from models_app.jobs import placement

        monkeypatch.setattr(placement, "PAGE", 2)
        stuck = [submitted(team) for _ in range(4)]
        ping = submitted(team, kind="ping", params={})
        ready_node("n1", slots=1)
        claimed(team, node="n1")

        assert place(ping, *stuck) == ["n1", "", "", "", ""]

    def test_a_page_of_jobs_that_fit_nowhere_hides_nobody_behind_it(self, team, monkeypatch):
        from models_app.jobs import placement

        monkeypatch.setattr(placement, "PAGE", 2)
        ready_node("node-1", memory_mib=1000)
        claimed(team, resources={"memory_mib": 900})
        stuck = [submitted(team, resources={"memory_mib": 500}) for _ in range(4)]

        assert place(*stuck, submitted(team)) == ["", "", "", "", "node-1"]

    def test_an_inline_job_gets_its_node_with_its_first_row(self, team):
        ready_node("n1", labels={"disk": "ssd"})
        ready_node("n2")
        pool_of("fast", selector={"disk": "ssd"})

        pings = [submitted(team, kind="ping", params={}, pool="fast") for _ in range(5)]

        assert {(job.state, job.node_name) for job in pings} == {(JobState.SCHEDULED, "n1")}

    def test_an_inline_job_that_asks_for_something_waits_for_its_turn(self, team):
        ready_node("n1", memory_mib=100)

        ping = submitted(team, kind="ping", params={}, resources={"memory_mib": 50})

        assert ping.state == JobState.PENDING
        assert place(ping) == ["n1"]

    def test_an_inline_job_waits_while_no_node_is_heard(self, team):
        silent_node("n1")

        assert submitted(team, kind="ping", params={}).state == JobState.PENDING

    def test_spreads_jobs_over_nodes(self, team):
        ready_node("n1")
        ready_node("n2")

        assert sorted(place(submitted(team), submitted(team))) == ["n1", "n2"]

    def test_keeps_nodes_with_gpus_for_jobs_that_ask_for_them(self, team):
        ready_node("big", gpus=1)
        ready_node("small", slots=1)
        plain, other = submitted(team), submitted(team)
        gpu = submitted(team, resources={"gpus": 1})

        assert place(plain, gpu, other) == ["small", "big", "big"]

    def test_counts_what_running_jobs_hold(self, team):
        ready_node("node-1", memory_mib=1000)
        claimed(team, resources={"memory_mib": 700})
        job = submitted(team, resources={"memory_mib": 400})

        assert place(job) == [""]
        assert "300" in why_waiting(job=job)

    def test_keeps_to_the_pool_and_to_labels(self, team):
        ready_node("a", labels={"zone": "a"})
        ready_node("b", labels={"zone": "b", "disk": "ssd"})
        pool_of("east", selector={"zone": "b"})
        pooled = submitted(team, pool="east")
        labelled = submitted(team, resources={"node_selector": {"zone": "a"}})

        assert place(pooled, labelled) == ["b", "a"]

    def test_keeps_a_pool_within_its_limits(self, team):
        ready_node("n1")
        pool_of("narrow", slots=1)
        jobs = [submitted(team, pool="narrow") for _ in range(2)]

        assert place(*jobs) == ["n1", ""]
        assert "limit: 1 of 1" in why_waiting(job=jobs[1])

    def test_keeps_work_on_the_consoles_disk_to_nodes_that_share_it(self, team, monkeypatch):
        from models_app.jobs.kind import job_kinds

        monkeypatch.setattr(type(job_kinds.get("self_test")), "on_console_disk", True)
        far = ready_node("far")
        Node.objects.filter(pk=far.pk).update(shares_store=False)
        job = submitted(team)
        assert place(job) == [""]
        assert "console's disk" in refusals(job=job)[0].reason

        ready_node("near")
        assert place(job) == ["near"]

    def test_prefers_the_node_where_the_job_ran_before(self, team):
        for name in ("n1", "n2", "n3"):
            ready_node(name)
        job = submitted(team)
        Job.objects.filter(pk=job.pk).update(epoch=1, node_name="n3")

        assert place(job) == ["n3"]

    def test_takes_the_node_of_before_last_once_it_misses_its_signs_of_life(self, team):
        ready_node("n1")
        ready_node("n2")
        job = submitted(team)
        Job.objects.filter(pk=job.pk).update(node_name="n2", epoch=1)
        Node.objects.filter(name="n2").update(last_seen_at=now() - dt.timedelta(seconds=9))

        assert place(job) == ["n1"]
        Job.objects.filter(pk=job.pk).update(state=JobState.PENDING, node_name="n2")
        Node.objects.filter(name="n1").update(state=NodeState.CORDONED)
        assert place(job) == ["n2"]

    def test_avoids_nodes_where_the_job_failed_while_there_is_another(self, team):
        ready_node("n1")
        ready_node("n2")
        job = submitted(team)
        Job.objects.filter(pk=job.pk).update(excluded_nodes=["n1"])
        alone = submitted(team)
        Job.objects.filter(pk=alone.pk).update(excluded_nodes=["n1", "n2"])

        assert place(job)[0] == "n2"
        assert place(alone)[0] in ("n1", "n2")

    def test_waits_for_the_time_of_a_retry(self, team):
        ready_node("n1")
        job = submitted(team)
        Job.objects.filter(pk=job.pk).update(run_after=now() + dt.timedelta(minutes=5))

        assert place(job) == [""]

    def test_lets_smaller_jobs_pass_only_for_a_while(self, team):
        ready_node("node-1", memory_mib=1000)
        claimed(team, resources={"memory_mib": 500})
        large = submitted(team, resources={"memory_mib": 800})
        first = submitted(team, resources={"memory_mib": 100})
        assert place(large, first) == ["", "node-1"]

        long_ago = now() - dt.timedelta(minutes=5)
        Job.objects.filter(pk=large.pk).update(run_after=long_ago, created_at=long_ago)
        second = submitted(team, resources={"memory_mib": 100})

        assert place(large, second) == ["", ""]
        assert f"kept for job {large.pk}" in str(_refusals_in_round(second, large))


def _refusals_in_round(job, large):
    from models_app.jobs.room import Room

    room = Room()
    room.kept["node-1"] = large.pk
    return room.refusal(job, room.nodes["node-1"])


class TestFairShare:
    def test_takes_turns_between_teams_of_the_same_priority(self, team, other_team):
        ready_node("n1", slots=4)
        mine = [submitted(team) for _ in range(6)]
        theirs = [submitted(other_team) for _ in range(2)]
        place_jobs()

        placed = Job.objects.filter(state=JobState.SCHEDULED)
        assert placed.filter(team=team).count() == 2
        assert {job.pk for job in placed.filter(team=other_team)} == {job.pk for job in theirs}
        assert mine[0].pk in set(placed.values_list("pk", flat=True))

    def test_counts_what_a_team_holds_already(self, team, other_team):
        ready_node("node-1", slots=3)
        claimed(team)
        claimed(team)
        submitted(team)
        late = submitted(other_team)

        assert place(late) == ["node-1"]

    def test_gives_more_to_a_team_of_more_weight(self, team, other_team):
        ready_node("n1", slots=4)
        pool_of("shared", shares={team.slug: 3})
        for each in (team, other_team):
            for _ in range(4):
                submitted(each, pool="shared")
        place_jobs()

        placed = Job.objects.filter(state=JobState.SCHEDULED)
        assert placed.filter(team=team).count() == 3

    def test_puts_priority_before_fairness(self, team, other_team):
        ready_node("node-1", slots=2)
        claimed(team)
        urgent = submitted(team, priority=10)
        submitted(other_team)

        assert place(urgent) == ["node-1"]


class TestSubmit:
    def test_refuses_more_than_any_node_has_and_names_the_largest(self, team):
        ready_node("n1", memory_mib=1000)
        ready_node("n2", memory_mib=4000)

        with pytest.raises(InvalidInput) as caught:
            submitted(team, resources={"memory_mib": 5000, "gpus": 2})

        errors = caught.value.errors
        assert "at most 4,000 MiB of memory" in errors["resources.memory_mib"][0]
        assert "at most 0 GPUs" in errors["resources.gpus"][0]

    @pytest.mark.parametrize(
        ("resources", "field"),
        [
            ({"cpus": -1}, "resources.cpus"),
            ({"memory_mib": 1e30}, "resources.memory_mib"),
            ({"gpus": "many"}, "resources.gpus"),
            ({"tpus": 1}, "resources.tpus"),
            ({"node_selector": {"a b": "c"}}, "resources.node_selector.a b"),
        ],
    )
    def test_names_the_wrong_field(self, team, resources, field):
        with pytest.raises(InvalidInput) as caught:
            submitted(team, resources=resources)

        assert list(caught.value.errors) == [field]

    def test_refuses_an_unknown_pool_and_one_of_other_teams(self, ben, team, other_team):
        pool_of("theirs", teams=[other_team])

        for name in ("nowhere", "theirs"):
            with pytest.raises(InvalidInput, match="no pool"):
                submitted(team, actor=ben, pool=name)

    def test_keeps_high_priorities_for_admins(self, ana, ben, team):
        assert submitted(team, actor=ben, priority=50).priority == 50
        assert submitted(team, actor=ana, priority=90).priority == 90
        with pytest.raises(PermissionDenied):
            submitted(team, actor=ben, priority=51)


class TestWhyWaiting:
    def test_says_that_no_node_is_ready(self, team):
        assert "No ready node" in why_waiting(job=submitted(team))

    def test_says_what_is_lacking_and_where(self, team):
        ready_node("node-1", slots=1)
        claimed(team)
        job = submitted(team)

        assert why_waiting(job=job) == (
            "The one node that could run it is busy: on node-1 only 0 slots are free."
        )
        assert [(r.node, r.reason) for r in refusals(job=job)] == [
            ("node-1", "only 0 slots are free")
        ]

    def test_says_that_every_ready_node_is_too_small(self, team):
        ready_node("n1", gpus=2)
        job = submitted(team, resources={"gpus": 2})
        Node.objects.filter(name="n1").update(gpus=1)

        assert "needs 2 GPUs" in why_waiting(job=job)

    def test_is_silent_about_jobs_that_do_not_wait(self, team):
        ready_node()
        job = claimed(team)

        assert why_waiting(job=job) == ""
        assert refusals(job=job) == []
