"""Operators: cordon, drain, quarantine, label, remove; pools."""

import pytest

from models_app.audit.models import AuditEvent
from models_app.core.errors import Conflict, InvalidInput, PermissionDenied, WrongState
from models_app.pools.selectors import pool_list
from models_app.pools.services.operations import (
    node_cordon,
    node_drain,
    node_quarantine,
    node_remove,
    node_set_labels,
    node_uncordon,
)
from models_app.pools.services.pools import pool_create, pool_default, pool_delete, pool_update
from models_app.pools.services.registration import node_gone, node_heartbeat, node_register
from models_app.pools.states import NodeState
from tests.factories.nodes import pool_of, ready_node, silent_node

pytestmark = pytest.mark.django_db

EACH = [
    (node_cordon, {}),
    (node_uncordon, {}),
    (node_drain, {}),
    (node_quarantine, {"reason": "smoke"}),
    (node_remove, {}),
    (node_set_labels, {"labels": {}}),
]


def state(node):
    node.refresh_from_db()
    return str(node.state)


@pytest.mark.parametrize(("action", "options"), EACH)
def test_only_platform_admins_may(action, options, ana):
    with pytest.raises(PermissionDenied):
        action(actor=ana, node=ready_node(), **options)


class TestNodes:
    def test_cordon_and_uncordon_are_recorded(self, root):
        node = ready_node()
        node_cordon(actor=root, node=node, reason="new disk")
        assert (state(node), node.state_reason) == ("cordoned", "new disk")
        node_uncordon(actor=root, node=node)
        assert state(node) == "ready"

        actions = AuditEvent.objects.filter(object_type="node").order_by("pk")
        assert [event.action for event in actions][-2:] == ["node.cordoned", "node.uncordoned"]

    def test_what_an_operator_decided_stays_over_a_restart_of_the_worker(self, root):
        node = ready_node("n1")
        node_cordon(actor=root, node=node)
        node_register(name="n1", incarnation="2", slots=4, capacity={})

        assert state(node) == "cordoned"

    def test_a_quarantine_by_hand_is_not_lifted_by_a_sign_of_life(self, root):
        node = ready_node("n1")
        node_quarantine(actor=root, node=node, reason="smoke")
        node_heartbeat(name="n1", incarnation=node.incarnation, used_slots=0)

        assert state(node) == "quarantined"

    def test_a_node_that_says_goodbye_takes_no_jobs(self):
        node = ready_node("n1")
        node_gone(name="n1", incarnation=node.incarnation)

        assert (state(node), node.state_reason) == (NodeState.UNREACHABLE, "It was shut down.")

    def test_a_heartbeat_of_an_older_self_changes_nothing(self):
        node = ready_node("n1")

        assert node_heartbeat(name="n1", incarnation="older", used_slots=1) is None
        assert node_heartbeat(name="n1", incarnation=node.incarnation, used_slots=1) is not None

    def test_knows_how_far_the_clock_of_a_node_is_off(self):
        import time

        node = ready_node("n1")
        node_heartbeat(
            name="n1", incarnation=node.incarnation, used_slots=0, node_time=time.time() - 120
        )

        node.refresh_from_db()
        assert 118 < node.clock_skew_s < 125

    def test_a_working_node_is_not_removed(self, root):
        with pytest.raises(WrongState, match="Drain it first"):
            node_remove(actor=root, node=ready_node())

    def test_a_node_without_a_sign_of_life_is_not_made_ready_by_hand(self, root):
        node = silent_node()
        type(node).objects.update(state=NodeState.UNREACHABLE)
        with pytest.raises(WrongState, match="Start its worker"):
            node_uncordon(actor=root, node=node)

    @pytest.mark.parametrize("deadline", [-1, 10**9])
    def test_refuses_a_senseless_deadline(self, root, deadline):
        with pytest.raises(InvalidInput, match="seconds"):
            node_drain(actor=root, node=ready_node(), deadline_s=deadline)

    @pytest.mark.parametrize("labels", [{"a b": "c"}, {"a": ""}, {"a": "x" * 64}, {"": "x"}])
    def test_refuses_labels_that_are_none(self, root, labels):
        with pytest.raises(InvalidInput):
            node_set_labels(actor=root, node=ready_node(), labels=labels)


class TestPools:
    def test_are_seen_by_the_teams_that_may_use_them(self, ben, cai, root, team, other_team):
        pool_default()
        pool_of("mine", teams=[team])
        pool_of("theirs", teams=[other_team])

        names = {user: {pool.name for pool in pool_list(actor=user)} for user in (ben, cai, root)}
        assert names == {
            ben: {"default", "mine"},
            cai: {"default", "theirs"},
            root: {"default", "mine", "theirs"},
        }

    def test_names_are_taken_once(self, root):
        pool_create(actor=root, name="fast")
        with pytest.raises(Conflict):
            pool_create(actor=root, name="fast")
        with pytest.raises(InvalidInput):
            pool_create(actor=root, name="Fast one")

    def test_refuse_senseless_limits_and_shares(self, root):
        pool = pool_create(actor=root, name="fast")
        for fields in ({"slots": -1}, {"shares": {"a": 0}}, {"selector": {"a": 1}}):
            with pytest.raises(InvalidInput):
                pool_update(actor=root, pool=pool, **fields)

    def test_the_default_one_and_one_with_jobs_stay(self, root):
        with pytest.raises(WrongState):
            pool_delete(actor=root, pool=pool_default(), jobs=0)
        with pytest.raises(WrongState, match="history"):
            pool_delete(actor=root, pool=pool_of("used"), jobs=3)

    def test_only_platform_admins_may(self, ana):
        with pytest.raises(PermissionDenied):
            pool_create(actor=ana, name="mine")
