"""Answers stored when a revision gets into service decide whether requests may move back to it."""

import pytest

from models_app.audit.models import AuditEvent
from models_app.core.errors import FieldError, PermissionDenied, WrongState
from models_app.deployments import golden
from models_app.deployments.golden import PROMPTS, golden_round
from models_app.deployments.models import GoldenAnswer, Replica, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import golden_force, roll_back
from models_app.deployments.services.course import live_rollout
from models_app.deployments.services.golden import UNANSWERED
from models_app.deployments.states import ReplicaState
from tests.factories.deployments import live, revision_of, serving, settle
from tests.factories.rollouts import arms
from tests.fakes.greedy import Greedy

pytestmark = pytest.mark.django_db


@pytest.fixture
def servers():
    made = []
    yield made
    for server in made:
        server.close()


def answering(servers, deployment, number):
    """The replica of a revision gets a server behind its port."""
    replica = Replica.objects.get(revision__deployment=deployment, revision__number=number,
                                  state=ReplicaState.READY)  # fmt: skip
    server = Greedy(replica)
    servers.append(server)
    Replica.objects.filter(pk=replica.pk).update(port=server.port)
    return server


@pytest.fixture
def moved(ana, team, servers):
    """r1 has stored its answers and is warm; r2 serves."""
    deployment = serving(ana, team)
    server = answering(servers, deployment, 1)
    golden_round()
    revision_of(ana, deployment)
    settle(deployment)
    answering(servers, deployment, 2)
    golden_round()
    assert arms(deployment) == {2: (100, 1)}
    server.heard.clear()
    return deployment, server


def state(deployment):
    return Rollout.objects.filter(deployment=deployment).first()


class TestStoring:
    def test_text_and_tokens_of_the_built_in_prompts(self, ana, team, servers):
        deployment = serving(ana, team)
        server = answering(servers, deployment, 1)

        assert golden_round() == 1

        rows = list(GoldenAnswer.objects.all())
        assert [row.prompt for row in rows] == list(PROMPTS)
        assert rows[2].text == "3 2 1"
        assert rows[2].tokens == [ord(sign) for sign in "3 2 1"]
        assert {row["temperature"] for row in server.heard} == {0}
        assert AuditEvent.objects.filter(action="golden.stored").count() == 1
        assert golden_round() == 0

    def test_prompts_of_the_settings(self, ana, team, servers):
        deployment = serving(ana, team, golden_prompts=["one", "two"])
        answering(servers, deployment, 1)
        golden_round()
        rows = GoldenAnswer.objects.values_list("prompt", "text")
        assert list(rows) == [("one", "eno"), ("two", "owt")]

    def test_a_short_context_gets_shorter_answers(self, ana, team, servers):
        deployment = serving(ana, team, golden_prompts=["one"])
        answering(servers, deployment, 1).most = 7
        assert golden_round() == 1
        assert GoldenAnswer.objects.get().text == "eno"

    def test_without_an_answer_it_is_asked_again_later(self, ana, team, servers):
        deployment = serving(ana, team, golden_prompts=["one"])
        answering(servers, deployment, 1).refusals = [503]
        assert golden_round() == 0
        assert golden_round() == 0  # not at once
        golden._waits.clear()
        assert golden_round() == 1

    def test_a_prompt_that_it_never_answers_is_left_out(self, ana, team, servers):
        deployment = serving(ana, team, golden_prompts=["one", "two"])
        answering(servers, deployment, 1).refusals = [422]
        assert golden_round() == 1
        assert GoldenAnswer.objects.get().prompt == "two"

    def test_what_cannot_be_stored_is_shown_by_a_sign(self, ana, team, servers):
        deployment = serving(ana, team, golden_prompts=["one"])
        answering(servers, deployment, 1).says["one"] = "a\0b"
        golden_round()
        assert GoldenAnswer.objects.get().text == "a␀b"

    def test_nobody_listens(self, ana, team):
        serving(ana, team, golden_prompts=["one"])
        assert golden_round() == 0


class TestWayBack:
    def test_equal_answers_let_it_switch(self, ana, moved):
        deployment, server = moved

        roll_back(actor=ana, deployment=deployment)
        assert arms(deployment)[2] == (100, 1)
        for _ in range(2):
            reconcile_deployment(deployment.pk)
        assert arms(deployment)[2] == (100, 1)
        assert golden_round() == 1

        assert arms(deployment) == {1: (100, 1)}
        assert len(server.heard) == len(PROMPTS)
        event = AuditEvent.objects.get(action="golden.equal")
        assert event.changes["answers"] == len(PROMPTS)
        assert set(GoldenAnswer.objects.filter(revision__number=1).values_list(
            "replay_equal", flat=True)) == {True}  # fmt: skip

    def test_other_answers_refuse_it(self, ana, moved):
        deployment, server = moved
        server.says["The "] = "something else"

        roll_back(actor=ana, deployment=deployment)
        golden_round()

        row = state(deployment)
        assert (row.state, row.golden) == ("failed", "different")
        assert "'something else'" in row.verdict
        assert arms(deployment) == {2: (100, 1)}
        assert dict(deployment.revisions.values_list("number", "state")) == {
            1: "superseded", 2: "active",
        }  # fmt: skip
        assert AuditEvent.objects.filter(action="golden.different").count() == 1
        answer = GoldenAnswer.objects.get(revision__number=1, prompt="The ")
        assert (answer.replay_equal, answer.replay_text) == (False, "something else")

    def test_the_same_text_of_other_tokens_is_another_answer(self, ana, moved):
        deployment, _server = moved
        GoldenAnswer.objects.filter(revision__number=1, number=1).update(tokens=[1, 2])
        roll_back(actor=ana, deployment=deployment)
        golden_round()
        assert state(deployment).golden == "different"

    def test_servers_that_name_no_tokens_are_compared_by_text(self, ana, moved):
        deployment, server = moved
        server.names_tokens = False
        roll_back(actor=ana, deployment=deployment)
        golden_round()
        assert arms(deployment) == {1: (100, 1)}

    def test_a_replica_that_cannot_answer_ends_it_after_some_tries(self, ana, moved):
        deployment, server = moved
        server.refusals = [500] * 100
        roll_back(actor=ana, deployment=deployment)
        for _ in range(UNANSWERED):
            golden_round()
        reconcile_deployment(deployment.pk)
        row = state(deployment)
        assert row.state == "failed"
        assert "could not be replayed" in row.verdict

    def test_the_glass_may_be_broken_with_a_reason(self, ana, eve, moved):
        deployment, server = moved
        server.says["The "] = "something else"
        with pytest.raises(WrongState, match="Nothing was refused"):
            golden_force(actor=ana, deployment=deployment, to=1, reason="x")
        roll_back(actor=ana, deployment=deployment)
        golden_round()
        with pytest.raises(PermissionDenied):
            golden_force(actor=eve, deployment=deployment, to=1, reason="x")
        with pytest.raises(FieldError, match="Say why"):
            golden_force(actor=ana, deployment=deployment, to=1, reason=" ")

        golden_force(actor=ana, deployment=deployment, to=1, reason="r2 is worse")
        reconcile_deployment(deployment.pk)

        assert arms(deployment) == {1: (100, 1)}
        assert AuditEvent.objects.get(action="golden.forced").changes["reason"] == "r2 is worse"
        assert live_rollout(deployment) is None

    def test_a_cold_way_back_is_proved_before_it_gets_a_request(self, ana, moved, servers):
        deployment, _server = moved
        Replica.objects.filter(revision__number=1).update(state=ReplicaState.STOPPED)
        roll_back(actor=ana, deployment=deployment)
        settle(deployment)
        assert arms(deployment)[2] == (100, 1)
        assert len([r for r in live(deployment) if r.revision.number == 1]) == 1

        answering(servers, deployment, 1)
        golden_round()

        assert arms(deployment) == {1: (100, 1)}
