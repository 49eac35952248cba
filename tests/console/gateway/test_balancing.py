"""Which replica gets a request: work, measured pace, what it has read before, its adapters."""

import random
from dataclasses import dataclass, field

import pytest

from console.gateway.balancing import Prefixes, pick, prefix_blocks
from console.gateway.replicas import Replica
from tests.console.gateway.test_shares import arm_row, route

TEXT = "Where is my parcel? " * 200


@dataclass
class Wanted:
    work: float = 10.0
    width: int = 1
    adapter: str = ""
    prefix: list[int] = field(default_factory=list)
    block_work: float = 6.4
    tried: set[Replica] = field(default_factory=set)


@pytest.fixture
def arm():
    rows = [{"id": n, "epoch": 1, "host": "127.0.0.1", "port": n, "node": "a"} for n in (1, 2, 3)]
    return route(arm_row(1, 100, replicas=rows, settings={"max_slots": 4})).active


def occupy(replica: Replica, work: float) -> None:
    replica.outstanding += 1
    replica.work += work


class TestWork:
    def test_equals_take_turns(self, arm):
        assert {pick(arm, Wanted(), Prefixes()).id for _ in range(3)} == {1, 2, 3}

    def test_goes_where_the_least_lies_not_where_the_fewest_are(self, arm):
        one, two, three = arm.replicas
        occupy(one, 500)
        occupy(two, 20), occupy(two, 20)
        occupy(three, 600)

        assert pick(arm, Wanted(), Prefixes()) is two

    def test_a_slow_replica_gets_a_share_by_its_pace(self, arm):
        for replica, pace in zip(arm.replicas, (0.1, 1.0, 1.0), strict=True):
            replica.note_pace(pace * 10, 10)
            occupy(replica, 0)
        got = dict.fromkeys((1, 2, 3), 0)
        for _ in range(13):
            replica = pick(arm, Wanted(), Prefixes())
            replica.work += 10
            got[replica.id] += 1

        assert got[1] >= 10

    def test_a_full_one_an_ejected_one_and_one_that_was_tried_get_nothing(self, arm):
        one, two, three = arm.replicas
        for _ in range(one.limit):
            occupy(one, 0.1)
        two.eject()

        assert pick(arm, Wanted(), Prefixes()) is three
        assert pick(arm, Wanted(tried={three}), Prefixes()) is None

    def test_a_request_wider_than_a_replica_goes_to_an_idle_one(self, arm):
        occupy(arm.replicas[0], 1), occupy(arm.replicas[1], 1)

        assert pick(arm, Wanted(width=100), Prefixes()) is arm.replicas[2]

    def test_slowness_is_forgiven_with_time(self, arm, monkeypatch):
        replica = arm.replicas[0]
        replica.note_pace(10, 10)
        at = replica._paced_at

        assert replica.pace(at + 0.5) == 1.0 and replica.pace(at + 40) < 0.1


class TestPrefix:
    def test_goes_where_the_beginning_was_read(self, arm):
        prefixes = Prefixes()
        blocks = prefix_blocks({"prompt": TEXT}, "a")
        prefixes.note(blocks, arm.replicas[1])
        longer = prefix_blocks({"prompt": TEXT + "More of it. " * 30}, "a")

        assert longer[: len(blocks)] == blocks
        assert {pick(arm, Wanted(prefix=longer), prefixes).id for _ in range(6)} == {2}

    def test_but_not_to_one_that_is_much_busier(self, arm):
        prefixes = Prefixes()
        blocks = prefix_blocks({"prompt": TEXT}, "a")
        prefixes.note(blocks, arm.replicas[1])
        arm.replicas[1].work = 1000

        assert pick(arm, Wanted(prefix=blocks), prefixes).id != 2

    def test_belongs_to_a_tenant(self):
        chat = {"messages": [{"role": "user", "content": TEXT}]}

        assert not set(prefix_blocks(chat, "a")) & set(prefix_blocks(chat, "b"))

    def test_of_nonsense_is_nothing_bad(self):
        for prompt in (None, 5, [], [[1, 2]], {"a": 1}, "", [1] * 5000):
            prefix_blocks({"prompt": prompt}, "a")
            prefix_blocks({"messages": [prompt]}, "a")
            prefix_blocks({"messages": prompt}, "a")

    def test_memory_is_bounded(self, arm, monkeypatch):
        monkeypatch.setattr("console.gateway.balancing.REMEMBERED", 100)
        prefixes = Prefixes()
        for _ in range(50):
            prefixes.note([random.random() for _ in range(20)], arm.replicas[0])

        assert len(prefixes._read) == 100


class TestAdapter:
    def test_goes_where_it_is_loaded(self, arm):
        arm.replicas[2].adapters = frozenset({"legal"})

        assert {pick(arm, Wanted(adapter="legal"), Prefixes()).id for _ in range(4)} == {3}
