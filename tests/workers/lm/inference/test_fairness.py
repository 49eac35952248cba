"""Whose turn it is: tenants, priorities, deadlines, and choices that share a prompt."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.workers.lm.inference.fakes import FakeBlocks, FakeRunner, Letters, continued, counting
from workers.lm.inference import fair
from workers.lm.inference.ask import HIGH, LOW, NORMAL, Ask
from workers.lm.inference.drafts import Drafter, PromptGuesser
from workers.lm.inference.engine import Engine
from workers.lm.inference.errors import QueueFull
from workers.lm.inference.events import Delta, Ended, Event
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.prefixes import PrefixCache
from workers.lm.inference.sequence import Sequence


def greedy(count: int, **changes: Any) -> SamplingParams:
    return SamplingParams(max_tokens=count, temperature=0, **changes)


def finish(engine: Engine) -> None:
    while engine.live:
        engine.step()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time of waiting and deadlines, as the queue and new sequences see it."""
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def order_of(engine: Engine, asks: list[tuple[str, int]], length: int = 4) -> list[int]:
    """The numbers of the asks in the order in which they end."""
    ended: list[int] = []

    def sink(number: int) -> Any:
        return lambda event: ended.append(number) if getattr(event, "finish", "end") else None

    for number, (tenant, priority) in enumerate(asks):
        ask = Ask([1, 2, 3], greedy(length), tenant=tenant, priority=priority)
        engine.submit([ask], sink(number))
    finish(engine)
    return ended


def one_slot(**options: Any) -> Engine:
    return Engine(FakeRunner(counting, slots=1), Letters(), (), **options)


def test_a_tenant_with_many_requests_does_not_keep_another_waiting() -> None:
    asks = [("busy", NORMAL)] * 10 + [("other", NORMAL)] * 2
    ended = order_of(one_slot(), asks)
    assert ended.index(10) <= 2
    assert ended.index(11) <= 4
    assert [number for number in ended if number < 10] == list(range(10))


def test_tokens_count_not_requests() -> None:
    engine = one_slot()
    ended: list[str] = []
    for tenant, count, length in (("long", 6, 24), ("short", 24, 3)):
        for _ in range(count):
            engine.submit(
                [Ask([1], greedy(length), tenant=tenant)],
                lambda event, tenant=tenant: ended.append(tenant) if event.finish else None,
            )
    finish(engine)
    # After both have had about the same number of tokens the short ones are many more.
    first_long = [place for place, tenant in enumerate(ended) if tenant == "long"]
    assert first_long[1] - first_long[0] >= 6
    assert first_long[2] - first_long[1] >= 6


def test_a_tenant_that_was_away_saves_up_no_turns() -> None:
    engine = one_slot()
    for _ in range(4):
        engine.submit([Ask([1] * 9, greedy(9), tenant="steady")], lambda event: None)
    order: list[str] = []
    for _ in range(30):
        engine.step()
    for tenant in ("steady", "steady", "steady", "new", "new", "new"):
        engine.submit(
            [Ask([1] * 9, greedy(9), tenant=tenant)],
            lambda event, tenant=tenant: order.append(tenant) if event.finish else None,
        )
    finish(engine)
    assert order[:3] != ["new", "new", "new"]


def test_a_tenant_that_fills_the_queue_keeps_nobody_out() -> None:
    engine = Engine(FakeRunner(counting, slots=2), Letters(), (), max_waiting=6)
    events: dict[str, list[Event]] = {"flood": [], "other": []}

    def submit(tenant: str) -> Sequence:
        return engine.submit([Ask([1], greedy(6), tenant=tenant)], events[tenant].append)[0]

    flood = [submit("flood") for _ in range(8)]
    engine.step()
    with pytest.raises(QueueFull):
        submit("flood")
    others = [submit("other") for _ in range(4)]
    with pytest.raises(QueueFull):
        submit("other")  # both have their share now
    finish(engine)
    refused = [event.error for event in events["flood"] if isinstance(event, Ended)]
    assert [error.status for error in refused] == [429] * 4
    assert refused[0].retry_after >= 1
    assert [len(one.tokens) for one in flood] == [6, 6, 6, 6, 0, 0, 0, 0]
    assert {tuple(one.tokens) for one in others} == {tuple(continued([1], 6))}
    assert not any(isinstance(event, Ended) for event in events["other"])


def test_priorities_go_first_and_the_low_one_has_its_turn_in_the_end(clock: Clock) -> None:
    assert order_of(one_slot(), [("a", LOW), ("a", NORMAL), ("b", HIGH), ("a", HIGH)]) == [
        2, 3, 1, 0,
    ]  # fmt: skip
    engine = one_slot()
    low = engine.submit([Ask([1], greedy(2), tenant="b", priority=LOW)], lambda event: None)[0]
    for _ in range(200):
        engine.submit([Ask([1], greedy(2), tenant="a", priority=HIGH)], lambda event: None)
        clock.now += fair.AGING / 20
        engine.step()
        engine.step()
        if low.ended:
            break
    assert low.ended
    assert clock.now - 1000.0 <= 2 * fair.AGING + 1


def test_what_has_not_begun_by_its_deadline_is_never_computed(clock: Clock) -> None:
    engine = one_slot()
    events: list[Event] = []
    running = engine.submit([Ask([1], greedy(5), deadline=clock.now + 1)], lambda event: None)[0]
    late = engine.submit([Ask([2], greedy(5), deadline=clock.now + 1)], events.append, choices=2)
    patient = engine.submit([Ask([3], greedy(5))], lambda event: None)[0]
    engine.step()
    clock.now += 2
    engine.step()
    assert [event.error.code for event in events if isinstance(event, Ended)] == [
        "deadline_exceeded"
    ] * 2
    assert events[0].error.status == 408
    assert not events[0].prompt_computed
    finish(engine)
    assert running.tokens == continued([1], 5)  # it had begun in time
    assert patient.tokens == continued([3], 5)
    assert all(not one.tokens and one.queue_ms is None for one in late)
    assert not any(2 in chunk.tokens for plan in engine.runner.plans for chunk in plan.chunks)


def test_waiting_and_reading_are_timed_apart(clock: Clock) -> None:
    engine = one_slot()
    engine.submit([Ask([1], greedy(2))], lambda event: None)
    second = engine.submit([Ask([2] * 6, greedy(2))], lambda event: None)[0]
    for _ in range(6):
        engine.step()
        clock.now += 1
    assert (second.queue_ms, second.prefill_ms) == (2000, 1000)


def test_choices_of_a_prompt_read_it_once() -> None:
    runner = FakeRunner(counting, slots=5, chunk=4)
    engine = Engine(runner, Letters(), ())
    other = engine.submit([Ask([9, 8], greedy(12))], lambda event: None)[0]
    engine.step()
    prompt = [3, 1, 4, 1, 5, 9, 2]
    own = engine.submit([Ask(prompt, greedy(6))], lambda event: None, choices=3)
    late = engine.submit([Ask([5] * 11, greedy(6))], lambda event: None)[0]
    finish(engine)
    computed = [token for plan in runner.plans for chunk in plan.chunks for token in chunk.tokens]
    assert len(computed) == 2 + len(prompt) + 11
    assert {tuple(one.tokens) for one in own} == {tuple(continued(prompt, 6))}
    assert other.tokens == continued([9, 8], 12)
    assert late.tokens == continued([5] * 11, 6)


def test_more_choices_than_slots_still_read_the_prompt_once_and_a_token_each() -> None:
    runner = FakeRunner(counting, slots=2, chunk=4)
    engine = Engine(runner, Letters(), ())
    prompt = [3, 1, 4, 1, 5, 9, 2]
    own = engine.submit([Ask(prompt, greedy(6))], lambda event: None, choices=4)
    finish(engine)
    assert {tuple(one.tokens) for one in own} == {tuple(continued(prompt, 6))}


def test_whoever_waits_for_a_prompt_reads_it_when_its_reader_is_cancelled() -> None:
    engine = Engine(FakeRunner(counting, slots=4, chunk=2), Letters(), ())
    own = engine.submit([Ask([3, 1, 4, 1, 5], greedy(6))], lambda event: None, choices=4)
    engine.step()
    engine.cancel(own[:1])
    finish(engine)
    assert own[0].tokens == []
    for one in own[1:]:
        assert one.tokens == continued([3, 1, 4, 1, 5], 6)


@pytest.mark.parametrize("seed", range(40))
def test_nobody_is_lost_whatever_comes_together(seed: int) -> None:
    """Tenants, priorities, choices, shared beginnings, guesses, resumed and cancelled answers."""
    chance = random.Random(seed)
    runner = FakeRunner(counting, slots=chance.choice([1, 2, 5]), chunk=chance.choice([1, 3, 9]))
    prefixes = PrefixCache(FakeBlocks(runner, blocks=chance.choice([1, 3, 12])))
    drafter = Drafter(PromptGuesser(), 3) if chance.random() < 0.7 else None
    engine = Engine(
        runner, Letters(), (), max_waiting=500, prefixes=prefixes, drafter=drafter, log=pytest.fail
    )
    begun = [[chance.randrange(16) for _ in range(12)] for _ in range(2)]
    everyone: list[tuple[Sequence, list[Event]]] = []
    for _ in range(40):
        prompt = chance.choice([[], *begun])[: chance.randint(0, 12)]
        prompt = [*prompt, *(chance.randrange(16) for _ in range(chance.randint(1, 8)))]
        length = chance.randint(1, 30)
        prior = continued(prompt, chance.randint(0, length - 1)) if chance.random() < 0.3 else []
        ask = Ask(
            prompt, greedy(length), tuple(prior), tenant=chance.choice("abc"),
            priority=chance.choice([LOW, NORMAL, HIGH]),
        )  # fmt: skip
        events: list[Event] = []
        own = engine.submit([ask], events.append, choices=chance.choice([1, 1, 2, 4]))
        everyone += [(one, events) for one in own]
        for _ in range(chance.randint(0, 6)):
            engine.step()
        if chance.random() < 0.3:
            engine.cancel([chance.choice(everyone)[0]])
    finish(engine)
    for one, events in everyone:
        own_events = [event for event in events if event.choice == one.choice]
        assert one.tokens == continued(one.prompt, len(one.tokens))
        assert one.cancelled or len(one.tokens) == one.params.max_tokens
        last = [event for event in own_events if isinstance(event, Ended) or event.finish]
        assert last == own_events[-1:]
        told = [token for event in own_events if isinstance(event, Delta)
                for token in event.token_ids]  # fmt: skip
        assert told == one.tokens[len(one.tokens) - len(told) :]
    stats = engine.stats()
    assert stats.running == stats.waiting == 0
    assert all(plan.tokens <= len(plan.decode) * 4 + runner.prefill_chunk for plan in runner.plans)
