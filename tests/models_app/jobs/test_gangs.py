"""Jobs on several nodes: placed as a whole, fenced as one, ended together."""

import datetime as dt

import pytest
from django.db.models import Q
from django.db.models.functions import Now

from models_app.core.clock import now
from models_app.core.errors import InvalidInput, StaleEpoch
from models_app.jobs.attempts import job_fail, job_finish, job_release
from models_app.jobs.claims import job_claim
from models_app.jobs.control import job_pause, job_resume
from models_app.jobs.draining import drain_nodes, occupants
from models_app.jobs.gangs import (
    meeting_get,
    meeting_set,
    nodes_of,
    part_claim,
    part_end,
    part_renew,
    parts_of,
    parts_waiting,
)
from models_app.jobs.kind import job_kinds
from models_app.jobs.log_late import log_append_late
from models_app.jobs.logs import SpoolMoved, log_append, log_list
from models_app.jobs.models import Job, JobPart
from models_app.jobs.placement import KEEP_AFTER, place_jobs
from models_app.jobs.recovery import recover_node, recover_parts, return_unclaimed, sweep
from models_app.jobs.room import Room
from models_app.jobs.services import job_cancel
from models_app.jobs.waiting import why_waiting
from models_app.pools.models import Node, Pool
from models_app.pools.services.operations import node_drain
from tests.factories.gangs import claimed_gang, gang
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import pool_of, ready_node, silent_node
from tests.models_app.jobs.test_races import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def several(monkeypatch):
    """Self-tests of n steps run on n nodes."""
    kind = type(job_kinds.get("self_test"))
    monkeypatch.setattr(kind, "nodes", lambda self, params: params.steps)


def nodes(count, **options):
    return [ready_node(f"n{number}", **options) for number in range(1, count + 1)]


def place(*jobs):
    """One round; the nodes of each job."""
    place_jobs()
    for job in jobs:
        job.refresh_from_db()
    return [nodes_of(job) if job.state == "scheduled" else [] for job in jobs]


def state(job):
    job.refresh_from_db()
    return str(job.state)


def silence(part):
    """Its lease runs out, by the database's clock."""
    JobPart.objects.filter(pk=part.pk).update(lease_until=Now() - dt.timedelta(seconds=1))


class TestPlacing:
    def test_takes_all_nodes_at_once(self, team):
        nodes(3)
        (names,) = place(job := gang(team, 3))

        assert sorted(names) == ["n1", "n2", "n3"]
        rows = parts_of(job)
        assert [(row.epoch, row.number, row.state) for row in rows] == [
            (1, number, "placed") for number in range(3)
        ]
        assert rows[0].node_name == job.node_name

    def test_takes_none_where_one_is_missing_and_says_what_it_waits_for(self, team):
        ready_node("n1", cpus=8)
        job = gang(team, 2, resources={"cpus": 4})

        assert place(job) == [[]]
        assert not job.parts.exists()
        assert Room().free["n1"].used["slots"] == 0
        assert why_waiting(job=job) == (
            "It waits for 2 nodes with 4 processors free on each; 1 is there."
        )

    def test_of_two_none_holds_a_half(self, team):
        nodes(3, slots=1)
        first, second = gang(team, 2), gang(team, 2)
        found = place(first, second)

        assert [len(names) for names in found] == [2, 0]
        assert not second.parts.exists()
        single = submitted(team, params={"steps": 1})
        (free,) = {"n1", "n2", "n3"} - set(found[0])
        assert place(single) == [[free]]

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_once_none_holds_a_half(self, team):
        jobs = [gang(team, 2) for _ in range(6)]
        nodes(5, slots=1)
        at_once(*[place_jobs] * 4)

        held = [names for names in place(*jobs) if names]
        assert len(held) == 2
        assert all(len(names) == 2 for names in held)
        assert len({name for names in held for name in names}) == 4
        assert JobPart.objects.count() == 4

    def test_leaves_out_a_node_that_has_missed_its_signs_of_life(self, team):
        ready_node("n1")
        silent_node("n2", seconds=10)

        assert place(job := gang(team, 2), submitted(team, params={"steps": 1})) == [[], ["n1"]]
        assert "1 is there" in why_waiting(job=job)

    def test_counts_every_part_against_nodes_pool_and_team(self, team):
        nodes(2, slots=1)
        pool = pool_of("small", slots=3, private_network=True)
        place(gang(team, 2, pool="small"))
        room = Room()

        assert [room.free[name].used["slots"] for name in ("n1", "n2")] == [1, 1]
        assert room.limits[pool.pk].used["slots"] == 2
        ready_node("n3", slots=8), ready_node("n4", slots=8)
        assert place(other := gang(team, 2, pool="small")) == [[]]
        assert "is at its limit: 2 of 3 slots are taken and the job needs 2" in (
            why_waiting(job=other)
        )

    def test_keeps_room_for_all_nodes_or_for_none(self, team):
        nodes(3, slots=1)
        busy = [claimed(team, node=name, params={"steps": 1}) for name in ("n1", "n2")]
        old = gang(team, 2)
        Job.objects.filter(pk=old.pk).update(
            created_at=now() - 2 * KEEP_AFTER, run_after=now() - 2 * KEEP_AFTER
        )
        older = gang(team, 2)
        Job.objects.filter(pk=older.pk).update(
            created_at=now() - 2 * KEEP_AFTER, run_after=now() - 2 * KEEP_AFTER
        )
        young = submitted(team, params={"steps": 1})
        found = place(old, older, young)

        # The free node and another are kept for the first; the second keeps none of the rest.
        assert found == [[], [], []]
        job_finish(job=busy[0], result={}, attempt={})
        assert sorted(place(old)[0]) == ["n1", "n3"]

    def test_goes_back_as_a_whole_when_one_of_its_nodes_takes_no_more(self, team):
        nodes(3)
        (names,) = place(job := gang(team, 2))
        Node.objects.filter(name=names[1]).update(state="unreachable")

        assert return_unclaimed() == 1
        (again,) = place(job)
        assert len(again) == 2 and names[1] not in again
        assert [row.node_name for row in parts_of(job)] == again


class TestAsking:
    def test_needs_a_pool_with_a_private_network(self, team):
        with pytest.raises(InvalidInput, match="is not encrypted") as refused:
            submitted(team, params={"steps": 2})

        assert list(refused.value.errors) == ["pool"]

    def test_more_of_a_node_than_the_pool_may_give_to_all_is_refused(self, team):
        nodes(2)
        pool_of("small", cpus=6, private_network=True)

        with pytest.raises(InvalidInput, match="at most 3 processors for each node"):
            submitted(team, params={"steps": 2}, pool="small", resources={"cpus": 4})


class TestFence:
    def test_parts_are_taken_up_once_part_0_runs(self, team):
        nodes(2)
        (names,) = place(job := gang(team, 2))
        assert part_claim(worker="w", node=names[1]) is None
        assert job_claim(worker="w", node=names[1]) is None

        held = job_claim(worker="w", node=names[0])
        assert parts_waiting(names[1]) == 1
        part = part_claim(worker="v", node=names[1])
        assert (part.job, part.epoch, part.number) == (job, held.epoch, 1)
        assert part_claim(worker="v", node=names[1]) is None
        assert part_renew(part=part) == "running"

    def test_the_end_of_the_attempt_ends_every_part(self, team):
        nodes(3)
        held, parts = claimed_gang(gang(team, 3))
        job_fail(job=held, code="killed", message="x", permanent=False, attempt={})

        for part in parts:
            with pytest.raises(StaleEpoch):
                part_renew(part=part)
        assert {row.state for row in JobPart.objects.all()} == {"ended"}
        assert Room().free["n1"].used["slots"] == 0

    def test_what_fails_in_a_part_fails_the_attempt_and_names_its_node(self, team):
        nodes(3)
        held, (part,) = claimed_gang(gang(team, 2))
        message = f"On {part.node_name}: device"
        job_fail(
            job=part.job, code="device_lost", message=message, permanent=False, attempt={},
            node=part.node_name,
        )  # fmt: skip
        held.refresh_from_db()

        assert (held.state, held.reason) == ("pending", message)
        assert held.excluded_nodes == [part.node_name]
        with pytest.raises(StaleEpoch):
            log_append(job=held, lines=[(stamp, "job", "info", "late")])

    def test_a_silent_part_takes_the_attempt_with_it(self, team):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        silence(part)
        with pytest.raises(StaleEpoch):
            part_renew(part=part)
        assert recover_parts(Q(lease_until__lt=Now())) == 1
        held.refresh_from_db()

        assert (held.state, held.reason_code, held.barren_attempts) == (
            "pending", "lease_expired", 1,
        )  # fmt: skip
        assert f"The worker on {part.node_name} (part 2 of 2) stopped answering" in held.reason

    def test_a_part_that_is_never_taken_up_does_not_count_as_a_failure(self, team):
        nodes(2)
        place(job := gang(team, 2))
        job_claim(worker="w", node=job.node_name)
        silence(job.parts.get(number=1))
        sweep()
        job.refresh_from_db()

        assert (job.barren_attempts, job.epoch) == (0, 1)
        assert job.state == "scheduled" and len(nodes_of(job)) == 2
        assert {row.epoch for row in parts_of(job)} == {2}

    def test_a_worker_that_starts_again_frees_its_part_at_once(self, team):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))

        assert recover_node(node=part.node_name, incarnation=f"{part.node_name}:100:1") == 0
        assert recover_node(node=part.node_name, incarnation="another") == 1
        assert state(held) == "pending"

    def test_a_part_that_has_ended_is_not_missed(self, team):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        part_end(part=part)

        assert sweep()["recovered"] == 0
        assert Room().free[part.node_name].used["slots"] == 0
        job_finish(job=held, result={"ok": 1}, attempt={})
        assert state(held) == "succeeded"

    def test_the_meeting_point_belongs_to_its_attempt(self, team):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        assert meeting_get(part=part) == {}
        meeting_set(job=held, meeting={"host": "10.0.0.1", "port": 5})
        assert meeting_get(part=part)["port"] == 5
        job_release(job=held, message="x", attempt={})
        with pytest.raises(StaleEpoch):
            meeting_set(job=held, meeting={"host": "10.0.0.9", "port": 6})

        place_jobs()
        _, (again,) = claimed_gang(Job.objects.get(pk=held.pk))
        assert (again.epoch, meeting_get(part=again)) == (2, {})


class TestWishes:
    def test_pausing_and_resuming_are_for_all(self, team, ana):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        job_pause(actor=ana, job=held)
        assert part_renew(part=part) == "pausing"
        part_end(part=part)
        job_release(job=held, message="", attempt={})
        assert state(held) == "paused"
        job_resume(actor=ana, job=held)
        assert len(place(held)[0]) == 2

    def test_cancelling_is_for_all(self, team, ana):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        job_cancel(actor=ana, job=held)

        assert part_renew(part=part) == "canceling"

    def test_the_node_of_any_part_can_be_emptied(self, team, root):
        nodes(3)
        held, (part,) = claimed_gang(gang(team, 2))
        node = Node.objects.get(name=part.node_name)
        node_drain(actor=root, node=node)

        assert [row.job for row in occupants(node)] == [held]
        assert drain_nodes() == 1
        assert state(held) == "preempting"
        job_release(job=held, message="", attempt={})
        drain_nodes()
        node.refresh_from_db()
        assert node.state == "cordoned"
        (names,) = place(held)
        assert len(names) == 2 and node.name not in names

    def test_an_urgent_one_moves_jobs_on_as_many_nodes_as_it_needs(self, team):
        nodes(3, slots=1)
        low = [claimed(team, node=f"n{n}", params={"steps": 1}) for n in (1, 2)]
        high = claimed(team, node="n3", params={"steps": 1}, priority=20)
        urgent = gang(team, 2, priority=10)
        place_jobs()
        place_jobs()

        assert [state(job) for job in (*low, high, urgent)] == [
            "preempting", "preempting", "running", "pending",
        ]  # fmt: skip
        for job in low:
            job_release(job=job, message="", attempt={})
        assert sorted(place(urgent)[0]) == ["n1", "n2"]

    def test_an_urgent_one_that_cannot_have_all_moves_nobody(self, team):
        nodes(2, slots=1)
        low = claimed(team, node="n1", params={"steps": 1})
        claimed(team, node="n2", params={"steps": 1}, priority=20)
        gang(team, 2, priority=10)
        place_jobs()

        assert state(low) == "running"

    def test_one_on_several_nodes_gives_way_for_the_room_on_any_of_them(self, team):
        nodes(2, slots=1)
        held, (part,) = claimed_gang(gang(team, 2))
        submitted(
            team, params={"steps": 1}, priority=10,
            pool=pool_of("second", selector={"which": part.node_name}).name,
        )  # fmt: skip
        Node.objects.filter(name=part.node_name).update(labels={"which": part.node_name})
        place_jobs()

        assert state(held) == "preempting"


stamp = "2026-01-01T00:00:00.000Z"


class TestLog:
    def test_each_part_has_its_own_place_in_its_own_spool(self, team):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        for writer, number in ((held, 0), (part.job, 1)):
            log_append(
                job=writer, lines=[(stamp, "job", "info", f"of {number}")], spool_from=0,
                spool_offset=10 + number, part=number,
            )  # fmt: skip

        assert [row[-1] for row in log_list(job=held)] == ["of 0", "of 1"]
        part.refresh_from_db()
        assert part.spool_offset == 11
        assert held.attempts.get().spool_offset == 10

    def test_what_a_part_has_left_behind_is_stored_once(self, team):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        job_finish(job=held, result={}, attempt={})
        late = {
            "job_id": held.pk, "epoch": 1, "part": 1, "lines": [(stamp, "job", "info", "late")],
            "spool_from": 0, "spool_offset": 7, "complete": True,
        }  # fmt: skip
        log_append_late(**late)
        with pytest.raises(SpoolMoved):
            log_append_late(**late)

        assert [row[-1] for row in log_list(job=held)] == ["late"]
        part.refresh_from_db()
        assert part.log_complete


class TestSeen:
    def test_the_page_and_the_api_show_the_parts_and_keep_the_token(
        self, team, ana, client_for, api_for
    ):
        nodes(2)
        held, (part,) = claimed_gang(gang(team, 2))
        meeting = {"host": "10.0.0.1", "port": 4321, "token": "hush", "machine": "m"}
        meeting_set(job=held, meeting=meeting)
        page = client_for(ana).get(f"/jobs/{held.pk}/").content.decode()
        rows = api_for(ana).get(f"/api/v1/jobs/{held.pk}/parts").json()

        assert part.node_name in page and "hush" not in page
        assert [(row["node_name"], row["state"], row["address"]) for row in rows] == [
            (held.node_name, "running", "10.0.0.1:4321"), (part.node_name, "running", ""),
        ]  # fmt: skip
        assert "hush" not in str(rows)
        assert api_for(ana).get(f"/api/v1/jobs/{held.pk}").json()["nodes"] == 2

    def test_a_pool_says_whether_its_network_is_private(self, root, client_for, api_for):
        api = api_for(root)
        assert api.post("/api/v1/pools", {"name": "far"}, "json").json()["private_network"] is False
        api.patch("/api/v1/pools/far", {"private_network": True}, "json")
        assert Pool.objects.get(name="far").private_network
        page = client_for(root)
        page.post("/pools/far/edit/", {"description": "x"})
        assert not Pool.objects.get(name="far").private_network
