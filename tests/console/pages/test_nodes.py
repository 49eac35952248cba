"""Pages of nodes: what is held, what is wrong, what operators do, and whom it is hidden from."""

import datetime as dt
import re

import pytest
from django.db.models.functions import Now
from django.urls import reverse

from models_app.audit.models import AuditEvent
from models_app.core.clock import now
from models_app.jobs import attempts
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.silence import nodes_look
from models_app.pools.models import JoinToken, Node
from models_app.pools.services.operations import node_drain, node_quarantine
from models_app.pools.services.registration import node_heartbeat, node_measured
from tests.factories.jobs import claimed
from tests.factories.nodes import pool_of, ready_node, silent_node
from tests.factories.speed import SPEED
from tests.matrix import assert_needs_sign_in

pytestmark = pytest.mark.django_db
POSTS = ("cordon", "uncordon", "quarantine", "remove", "release")


def page(client, name, *args, **query):
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


def healthy(node, **changes):
    """The node gives a sign of life with these figures."""
    health = {"load": 1.5, "memory_free_mib": 9_000, "disk_free_mib": 90_000, "gpus": [], **changes}
    skew = health.pop("skew", 0)
    node_heartbeat(
        name=node.name,
        incarnation=node.incarnation,
        used_slots=0,
        health=health,
        node_time=now().timestamp() - skew,
    )


def held(job):
    """The job's node was lost with others: it waits for it."""
    later = now() + dt.timedelta(minutes=5)
    Job.objects.filter(pk=job.pk).update(
        state="pending", lease_until=None, hold_until=later, run_after=later
    )


class TestList:
    def test_shows_what_is_held_of_each(self, client_for, root, team):
        pool_of("fast", selector={"gpu": "h100"})
        ready_node("gpu-1", gpus=2, labels={"gpu": "h100", "zone": "a"})
        job = claimed(team, node="gpu-1", resources={"gpus": 1, "cpus": 2})
        Job.objects.filter(pk=job.pk).update(node_name="gpu-1")
        text = page(client_for(root), "node_list")

        assert "Processors: 2 of 8 held" in text
        assert "GPUs: 1 of 2 held" in text
        assert "zone=a" in text
        assert reverse("pool_detail", args=["fast"]) in text

    def test_puts_what_needs_somebody_first_and_says_why(self, client_for, root):
        ready_node("a-well")
        node_quarantine(actor=root, node=ready_node("z-odd"), reason="smells of smoke")
        text = page(client_for(root), "node_list")

        assert text.index("z-odd") < text.index("a-well")
        assert "smells of smoke" in text
        assert "By hand:" not in text

    @pytest.mark.parametrize(
        ("figures", "words"),
        [
            ({"skew": 3.4}, "clock 3.4 s behind"),
            ({"skew": -3.4}, "clock 3.4 s ahead"),
            ({"disk_free_mib": 1024}, "only 1.0 GiB of disk left"),
            ({"memory_free_mib": 100}, "only 100.0 MiB of memory left"),
            ({"load": 40.0}, "load 40 on 8 processors"),
            ({"gpus": [{"temperature_c": 91.0}]}, "GPU 0: 91 °C"),
            ({"gpus": [{"uncorrected_errors": 2.0}]}, "GPU 0: 2 memory errors"),
            ({"gpus": []}, "1 GPU does not answer"),
        ],
    )
    def test_warns_of_what_is_not_well(self, client_for, root, figures, words):
        healthy(ready_node("n1", gpus=1), **{"gpus": [{"temperature_c": 50.0}], **figures})

        assert words in page(client_for(root), "node_list")

    def test_says_nothing_of_a_node_that_is_well(self, client_for, root):
        healthy(ready_node("n1", gpus=1), gpus=[{"temperature_c": 50.0}], skew=1.5)

        assert "tone-amber" not in page(client_for(root), "node_list").split('id="nodes"')[1]

    def test_is_filtered_and_cut_into_pages(self, client_for, root):
        pool_of("fast", selector={"zone": "b"})
        for number in range(60):
            ready_node(f"n-{number:02}", labels={"zone": "ab"[number % 2]})
        client = client_for(root)

        first, second = page(client, "node_list"), page(client, "node_list", page=2)
        assert "n-49" in first and "n-50" not in first and "n-50" in second
        assert "30 nodes" in page(client, "node_list", pool="fast")
        assert "30 nodes" in page(client, "node_list", q="zone=b")
        assert "1 node<" in page(client, "node_list", q="n-07")
        assert "The filter hides 60 nodes" in page(client, "node_list", state="draining")
        assert "No node matches" in page(client, "node_list", pool="nowhere")

    def test_takes_no_more_queries_for_more_nodes(
        self, client_for, root, team, django_assert_max_num_queries
    ):
        client = client_for(root)
        for number in range(20):
            healthy(ready_node(f"n-{number}"))
        page(client, "node_list")
        with django_assert_max_num_queries(16):
            page(client, "node_list")

    def test_says_what_to_do_while_there_is_none(self, client_for, root):
        text = page(client_for(root), "node_list")

        assert "No worker has ever registered" in text
        assert reverse("node_join_tokens") in text


class TestLostTogether:
    def test_says_what_happened_and_lets_the_jobs_go(self, client_for, root, team):
        job = claimed(team)
        for name in ("node-1", "n2", "n3"):
            silent_node(name)
        nodes_look()
        held(job)
        ready_node("n4")
        client = client_for(root)
        text = page(client, "node_list")

        assert "3 nodes are quarantined since they fell silent at once" in text
        assert "1 job waits for its node" in text
        assert reverse("node_release_all") in text
        answer = client.post(reverse("node_release_all"), follow=True)
        job.refresh_from_db()
        assert job.hold_until is None
        assert "1 job was let go" in answer.content.decode()
        event = AuditEvent.objects.get(action="node.jobs_released")
        assert (event.object_label, event.changes, event.actor) == ("node-1", {"jobs": 1}, root)

    def test_says_its_own_reasons_in_the_readers_language(self, client_for, root):
        for name in ("n1", "n2", "n3"):
            silent_node(name)
        nodes_look()
        text = page(client_for(root, headers={"accept-language": "zh-hans"}), "node_list")

        assert "它与另外 2 个节点同时失去心跳。" in text
        assert "It fell silent" not in text

    def test_of_one_node_lets_only_its_jobs_go(self, client_for, root, team):
        mine, other = claimed(team), claimed(team, node="n2", worker="n2:100:1")
        for job, name in ((mine, "node-1"), (other, "n2")):
            node = silent_node(name)
            Node.objects.filter(pk=node.pk).update(state="quarantined", state_reason="Silent.")
            held(job)
        client = client_for(root)

        assert "Let the jobs go" in page(client, "node_detail", "node-1")
        client.post(reverse("node_release", args=["node-1"]))
        mine.refresh_from_db()
        other.refresh_from_db()
        assert (mine.hold_until, other.hold_until is None) == (None, False)

    def test_a_quarantine_by_hand_is_no_loss(self, client_for, root):
        node_quarantine(actor=root, node=ready_node("n1"), reason="smoke")

        assert "fell silent" not in page(client_for(root), "node_list")


class TestDetail:
    def test_shows_what_is_on_it_and_what_was(self, client_for, root, team):
        healthy(ready_node("node-1"), load=1.25)
        running = claimed(team, title="Under way", resources={"cpus": 2})
        over = claimed(team, title="Gone wrong")
        attempts.job_fail(job=over, code="oom", message="Too big.", permanent=True, attempt={})
        text = page(client_for(root), "node_detail", "node-1")

        on_it, was = text.split("Recent attempts", 1)
        assert f"#{running.pk}" in on_it and "2 processors" in on_it
        assert f"#{over.pk}" not in on_it and f"#{over.pk}" in was
        assert "Out of memory" in was
        assert "1.25" in was
        assert "Node joined" in was

    def test_shows_how_far_a_drain_is_and_why_the_rest_stays(self, client_for, root, team):
        node = ready_node("node-1")
        gone, stays = claimed(team), claimed(team, title="Holds out")
        node_drain(actor=root, node=node, deadline_s=600, reason="new disk")
        attempts.job_finish(job=gone, result={}, attempt={})
        JobAttempt.objects.filter(job=gone).update(ended_at=Now())
        text = page(client_for(root), "node_detail", "node-1")

        assert "1 of 2 have left" in text
        assert "Holds out" in text
        assert "about to be asked to save a checkpoint" in text
        assert "new disk" in text
        assert stays.state == "running"

    def test_escapes_what_a_node_says_of_itself(self, client_for, root):
        bad = "<script>alert(1)</script>"
        ready_node("n1", labels={"zone": bad}, system=bad, packages={bad: bad})
        text = page(client_for(root), "node_detail", "n1")

        assert bad not in text
        assert "&lt;script&gt;alert(1)" in text

    def test_shows_how_fast_it_computes(self, client_for, root):
        node = ready_node("n1")
        assert "Not measured yet" in page(client_for(root), "node_detail", "n1")
        node_measured(name="n1", incarnation=node.incarnation, speed=SPEED)
        text = page(client_for(root), "node_detail", "n1")

        assert "130 / 600 GFLOP/s" in text
        assert "128: 80% · 512: 190%" in text
        assert "125% after 60 s of compiling" in text
        assert not node_measured(name="n1", incarnation="n1:0:0", speed={})

    def test_of_an_unknown_or_removed_node_is_missing(self, client_for, root):
        node = silent_node("n1")
        Node.objects.filter(pk=node.pk).update(state="removed")

        for name in ("n1", "nobody"):
            url = reverse("node_detail", args=[name])
            assert client_for(root).get(url).status_code == 404

    def test_offers_what_its_state_allows(self, client_for, root):
        node = ready_node("n1")
        client = client_for(root)

        def offered():
            text = page(client, "node_detail", "n1")
            return {verb for verb in POSTS if f'action="/nodes/n1/{verb}/"' in text}

        assert offered() == {"cordon", "quarantine"}
        client.post("/nodes/n1/cordon/", {"reason": "disk"})
        assert offered() == {"uncordon", "quarantine", "remove"}
        node_drain(actor=root, node=node)
        assert offered() == {"uncordon", "cordon"}


class TestActions:
    def test_move_the_node_and_keep_the_reason(self, client_for, root):
        node, client = ready_node("n1"), client_for(root)
        steps = [
            ("cordon", {"reason": "new disk"}, "cordoned", "new disk"),
            ("uncordon", {}, "ready", ""),
            ("quarantine", {"reason": "smoke"}, "quarantined", "By hand: smoke"),
        ]
        for verb, form, state, reason in steps:
            answer = client.post(f"/nodes/n1/{verb}/", form)
            node.refresh_from_db()
            assert answer["Location"] == "/nodes/n1/"
            assert (node.state, node.state_reason) == (state, reason)
        assert client.post("/nodes/n1/remove/")["Location"] == "/nodes/"
        assert not Node.objects.exclude(state="removed").exists()

    def test_a_silent_node_can_be_removed_though_it_was_busy(self, client_for, root):
        node = silent_node("n1")
        Node.objects.filter(pk=node.pk).update(state="unreachable", used_slots=3)

        client_for(root).post("/nodes/n1/remove/")

        node.refresh_from_db()
        assert node.state == "removed"

    def test_a_refusal_is_said_and_changes_nothing(self, client_for, root):
        node = ready_node("n1")
        answer = client_for(root).post("/nodes/n1/remove/", follow=True)

        node.refresh_from_db()
        assert node.state == "ready"
        assert "Drain it first" in answer.content.decode()


class TestDrainForm:
    def test_says_what_happens_to_each_job(self, client_for, root, team):
        ready_node("node-1")
        claimed(team, title="Saves its work")
        text = page(client_for(root), "node_drain", "node-1")

        assert "Saves its work" in text
        assert "saves a checkpoint and goes on elsewhere" in text
        assert 'value="30"' in text

    def test_starts_and_later_moves_the_deadline(self, client_for, root):
        node, client = ready_node("n1"), client_for(root)
        form = {"deadline_s": "90", "reason": "new disk", "remove": "on"}
        assert client.post("/nodes/n1/drain/", form)["Location"] == "/nodes/n1/"
        node.refresh_from_db()
        first = node.drain_deadline_at - now()
        client.post("/nodes/n1/drain/", {"deadline_s": "0.5"})
        node.refresh_from_db()

        assert dt.timedelta(minutes=88) < first <= dt.timedelta(minutes=90)
        assert node.drain_deadline_at - now() <= dt.timedelta(seconds=30)
        assert (node.state, node.remove_when_empty) == ("draining", False)
        actions = set(AuditEvent.objects.values_list("action", flat=True))
        assert {"node.draining", "node.drain_changed"} <= actions

    @pytest.mark.parametrize("value", ["", "soon", "-1", "10081", "1e300", "nan"])
    def test_puts_a_wrong_deadline_beside_the_field(self, client_for, root, value):
        node = ready_node("n1")
        answer = client_for(root).post("/nodes/n1/drain/", {"deadline_s": value})

        node.refresh_from_db()
        assert answer.status_code == 422
        assert 'id="id_deadline_s_error"' in answer.content.decode()
        assert node.state == "ready"


class TestLabelsForm:
    def test_replaces_all_labels(self, client_for, root):
        node = ready_node("n1", labels={"old": "1"})
        client_for(root).post("/nodes/n1/labels/", {"labels": "zone = b\n\ngpu=h100, disk=ssd"})

        node.refresh_from_db()
        assert node.labels == {"zone": "b", "gpu": "h100", "disk": "ssd"}

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ("zone", "“zone” is no label"),
            ("=b", "is no label"),
            ("a=1\na=2", "a is there twice"),
            ("zone=no spaces", "zone: Use letters"),
            ("\n".join(f"l{n}=x" for n in range(33)), "at most 32 labels"),
        ],
    )
    def test_puts_errors_beside_the_field(self, client_for, root, labels, words):
        node = ready_node("n1", labels={"old": "1"})
        answer = client_for(root).post("/nodes/n1/labels/", {"labels": labels})
        text = answer.content.decode()
        said = re.search(r'id="id_labels_error">(.*?)</div>', text, re.DOTALL)

        node.refresh_from_db()
        assert answer.status_code == 422
        assert said and words in said[1]
        assert node.labels == {"old": "1"}


class TestJoining:
    def test_shows_the_line_to_paste_this_once(self, client_for, root):
        client = client_for(root)
        url = reverse("node_join_tokens")
        answer = client.post(url, {"note": "rack 4", "hours": "24", "labels": "zone=b"})
        text = answer.content.decode()
        secret = re.search(r"TOKEN=(slipjoin_\S+?)<", text)[1]

        assert "make worker JOIN=" in text
        assert "no-store" in answer["Cache-Control"]
        assert JoinToken.objects.get().labels == {"zone": "b"}
        again = client.get(url).content.decode()
        assert "rack 4" in again and "Waits for its machine" in again
        assert secret not in again

    def test_revokes_what_is_open(self, client_for, root):
        client = client_for(root)
        client.post(reverse("node_join_tokens"), {"hours": "1"})
        token = JoinToken.objects.get()
        client.post(reverse("node_join_token_revoke", args=[token.pk]))

        token.refresh_from_db()
        assert token.revoked_at is not None

    def test_puts_errors_beside_the_field(self, client_for, root):
        url = reverse("node_join_tokens")
        answer = client_for(root).post(url, {"hours": "9", "labels": "x"})
        text = answer.content.decode()

        assert answer.status_code == 422
        assert 'id="id_hours_error"' in text and 'id="id_labels_error"' in text
        assert not JoinToken.objects.exists()


@pytest.mark.parametrize("who", ["ana", "eve", "cai"])
def test_nodes_are_for_platform_admins(client_for, request, who):
    node = ready_node("n1")
    client = client_for(request.getfixturevalue(who))
    pages = [reverse("node_list"), reverse("node_join_tokens"), "/nodes/n1/", "/nodes/n1/drain/",
             "/nodes/n1/labels/", "/nodes/nobody/"]  # fmt: skip
    posts = [f"/nodes/n1/{verb}/" for verb in POSTS] + [reverse("node_release_all"), *pages[1:2]]
    posts += ["/nodes/n1/drain/", "/nodes/n1/labels/"]

    assert {client.get(url).status_code for url in pages} == {403}
    assert {client.post(url).status_code for url in posts} == {403}
    assert reverse("node_list") not in page(client, "pool_list")
    node.refresh_from_db()
    assert node.state == "ready"


def test_nobody_gets_in_without_signing_in(db):
    ready_node("n1")
    pages = [reverse("node_list"), reverse("node_join_tokens"), "/nodes/n1/", "/nodes/n1/drain/"]

    assert_needs_sign_in(pages, [f"/nodes/n1/{verb}/" for verb in POSTS])
