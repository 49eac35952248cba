"""Admission, slots, cancellation and failures, on a model whose logits are known."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.workers.lm.inference.fakes import FakeRunner, Letters, continued, counting
from workers.lm.inference.ask import Ask
from workers.lm.inference.engine import Engine
from workers.lm.inference.errors import Draining, QueueFull
from workers.lm.inference.events import Delta, Ended, Event
from workers.lm.inference.params import SamplingParams


def greedy(count: int, **changes: Any) -> SamplingParams:
    return SamplingParams(max_tokens=count, temperature=0, **changes)


def make(runner: FakeRunner | None = None, **options: Any) -> tuple[Engine, FakeRunner]:
    runner = runner or FakeRunner(counting)
    return Engine(runner, Letters(), (), **options), runner


def finish(engine: Engine) -> None:
    while engine.live:
        engine.step()


@pytest.mark.parametrize("seed", range(25))
def test_any_mix_of_arrivals_and_cancellations_keeps_prefixes_apart(seed: int) -> None:
    chance = random.Random(seed)
    engine, _ = make(
        FakeRunner(counting, slots=chance.choice([1, 2, 5]), chunk=chance.choice([1, 3, 9]))
    )
    everyone = []
    for _ in range(40):
        prompt = [chance.randrange(16) for _ in range(chance.randint(1, 20))]
        asks = [Ask(prompt, greedy(chance.randint(1, 12)))]
        everyone += engine.submit(asks, lambda event: None)
        for _ in range(chance.randint(0, 6)):
            engine.step()
        if chance.random() < 0.3:
            engine.cancel([chance.choice(everyone)])
    finish(engine)
    for sequence in everyone:
        expected = continued(sequence.prompt, len(sequence.tokens))
        assert sequence.tokens == expected
        assert sequence.cancelled or len(sequence.tokens) == sequence.params.max_tokens
    assert engine.stats().running == engine.stats().waiting == 0


def test_requests_begin_in_order_of_arrival() -> None:
    engine, _ = make()
    order: list[int] = []
    for number in range(8):
        engine.submit(
            [Ask([number] * 7, greedy(2))],
            lambda event, number=number: (
                order.append(number) if event.completion_tokens == 1 else None
            ),
        )
    finish(engine)
    assert order == sorted(order)


def test_decoding_goes_on_while_a_long_prompt_is_read() -> None:
    engine, runner = make()
    first = engine.submit([Ask([1], greedy(20))], lambda event: None)[0]
    engine.step()
    engine.submit([Ask([2] * 40, greedy(1))], lambda event: None)
    before = len(first.tokens)
    for _ in range(5):
        engine.step()
    assert len(first.tokens) == before + 5
    assert all(plan.tokens <= 1 + runner.prefill_chunk for plan in runner.plans)
    finish(engine)


def test_a_cancelled_request_is_out_within_one_step() -> None:
    engine, _ = make(FakeRunner(counting, slots=1))
    events: list[Event] = []
    first = engine.submit([Ask([1], greedy(50))], events.append)
    waiting = engine.submit([Ask([2], greedy(1))], lambda event: None)[0]
    for _ in range(5):
        engine.step()
    engine.cancel(first)
    engine.step()
    assert events[-1] == Ended(0, 5, True, None)
    assert waiting.tokens == continued([2], 1)
    assert engine.live == 0


def test_the_queue_is_bounded_and_takes_all_choices_or_none() -> None:
    engine, _ = make(max_waiting=2)
    engine.submit([Ask([1], greedy(1))], lambda event: None, choices=3)
    with pytest.raises(QueueFull) as refused:
        engine.submit([Ask([1], greedy(1))], lambda event: None, choices=3)
    assert refused.value.status == 429
    assert refused.value.retry_after >= 1
    engine.submit([Ask([1], greedy(1))], lambda event: None, choices=2)
    finish(engine)
    engine.submit([Ask([1], greedy(1))], lambda event: None, choices=5)
    finish(engine)


def test_draining_refuses_the_new_and_finishes_the_old() -> None:
    engine, _ = make()
    running = engine.submit([Ask([1], greedy(4))], lambda event: None)[0]
    engine.drain()
    with pytest.raises(Draining):
        engine.submit([Ask([1], greedy(1))], lambda event: None)
    finish(engine)
    assert len(running.tokens) == 4


def test_numbers_that_are_not_finite_end_their_own_request_only() -> None:
    def logits(prefix: list[int]) -> list[float]:
        return [float("nan")] * 16 if 9 in prefix else counting(prefix)

    engine, runner = make(FakeRunner(logits))
    events: list[Event] = []
    bad = engine.submit([Ask([9, 1], greedy(5))], events.append)[0]
    good = engine.submit([Ask([2], greedy(1))], lambda event: None)[0]
    finish(engine)
    assert bad.tokens == []
    assert isinstance(events[0], Ended)
    assert events[0].error.code == "non_finite_logits"
    assert good.tokens == continued([2], 1)
    assert runner.wiped == [0]


def test_a_failing_step_ends_its_batch_and_the_engine_goes_on() -> None:
    failing = {"now": False}

    def logits(prefix: list[int]) -> list[float]:
        if failing.pop("now", False):
            raise RuntimeError("out of memory")
        return counting(prefix)

    engine, _ = make(FakeRunner(logits, slots=2))
    events: list[Event] = []
    engine.submit([Ask([1], greedy(9))], events.append)
    engine.submit([Ask([2], greedy(9))], events.append)
    later = engine.submit([Ask([3], greedy(2))], lambda event: None)[0]
    engine.step()
    failing["now"] = True
    finish(engine)
    failed = [event for event in events if isinstance(event, Ended)]
    assert len(failed) == 2
    assert all(event.error.status == 500 for event in failed)
    assert later.tokens == continued([3], 2)
    assert engine.broken is None


def test_a_model_that_fails_its_check_breaks_the_engine() -> None:
    def logits(prefix: list[int]) -> list[float]:
        raise RuntimeError("device-side assert")

    engine, _ = make(FakeRunner(logits))
    events: list[Event] = []
    engine.submit([Ask([1], greedy(9))], events.append, choices=5)
    engine.run()
    assert engine.broken is not None
    assert len(events) == 5
    assert all(isinstance(event, Ended) and event.error for event in events)
    with pytest.raises(Draining):
        engine.submit([Ask([1], greedy(1))], lambda event: None)


def test_a_failure_after_the_forward_pass_is_contained_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from workers.lm.inference import engine as module

    engine, _ = make()
    events: list[Event] = []
    engine.submit([Ask([1], greedy(9))], events.append, choices=2)
    engine.step()

    def sample(*args: Any) -> Any:
        monkeypatch.undo()
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(module, "sample", sample)
    finish(engine)
    assert [type(event) for event in events[-2:]] == [Ended, Ended]
    assert engine.broken is None
    again = engine.submit([Ask([1], greedy(3))], lambda event: None)[0]
    finish(engine)
    assert again.tokens == continued([1], 3)


def test_a_sink_that_raises_harms_nobody_else() -> None:
    engine, _ = make()

    def broken(event: Event) -> None:
        raise RuntimeError("event loop is closed")

    engine.submit([Ask([1], greedy(50))], broken)
    good = engine.submit([Ask([2], greedy(3))], lambda event: None)[0]
    for _ in range(6):
        engine.step()
    assert good.tokens == continued([2], 3)
    assert engine.live == 0


def test_end_of_sequence_stops_and_counts() -> None:
    runner = FakeRunner(counting)
    stop_at = continued([1], 4)[3]
    engine = Engine(runner, Letters(), {stop_at})
    events: list[Event] = []
    engine.submit([Ask([1], greedy(30))], events.append)
    finish(engine)
    last = events[-1]
    assert isinstance(last, Delta)
    assert last.finish == "stop"
    assert last.completion_tokens == len(events)
    text = "".join(event.text for event in events if isinstance(event, Delta))
    assert chr(97 + stop_at) not in text
