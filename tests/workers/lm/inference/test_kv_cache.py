"""A cache that grows with what runs, within its limit: right answers, and nobody waits for ever."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
import torch

from tests.workers.lm.inference import tiny
from workers.lm.inference import fair
from workers.lm.inference.ask import HIGH, LOW, NORMAL, Ask
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.drafts import Drafter, PromptGuesser
from workers.lm.inference.engine import Engine
from workers.lm.inference.events import Delta, Event
from workers.lm.inference.kv_cache import SlotBlocks, SlotCache
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.prefixes import PrefixCache

TEXT = TokenizerText(tiny.tokenizer())
CONTEXT, SLOTS = 1024, 8


def engine(limit_slots: float | None) -> tuple[Engine, SlotCache]:
    """An engine whose cache grows up to so many slots of the whole context; None: never bounded."""
    model = tiny.model("llama", max_position_embeddings=CONTEXT)
    runner = PackedRunner(model, context_length=CONTEXT, max_slots=SLOTS, prefill_chunk=64)
    if limit_slots is not None:
        runner.cache = SlotCache(
            slots=SLOTS, length=CONTEXT, dtype=torch.float32, device=model.device, grows=True
        )
    Engine(runner, TEXT, ()).prove()
    if limit_slots is not None:
        runner.cache.limit_bytes = limit_slots * CONTEXT * runner.cache.position_bytes
    prefixes = PrefixCache(SlotBlocks(runner.cache, 2**18))
    drafter = Drafter(PromptGuesser(), 3)
    return Engine(runner, TEXT, (), prefixes=prefixes, drafter=drafter), runner.cache


def asks() -> list[Ask]:
    chance = random.Random(4)
    trunk = [chance.randrange(tiny.VOCABULARY) for _ in range(600)]
    found = []
    for _ in range(14):
        beginning = trunk[: chance.choice([3, 40, 300, 590])]
        prompt = [*beginning, chance.randrange(tiny.VOCABULARY)]
        limit = chance.choice([2, 9, 40])
        params = SamplingParams(max_tokens=limit, temperature=0, ignore_eos=True)
        found.append(Ask(prompt, params, tenant=chance.choice("ab")))
    return found


def answers(engine: Engine) -> list[list[int]]:
    sequences = []
    for ask in asks():
        sequences += engine.submit([ask], lambda event: None)
        engine.step()
    for _ in range(3000):
        if not engine.live:
            break
        engine.step()
    assert not engine.live, "somebody waits for ever"
    return [one.tokens for one in sequences]


def test_answers_are_the_same_however_little_there_is() -> None:
    whole, _ = engine(None)
    expected = answers(whole)
    for limit in (1, 2.5, SLOTS):
        small, cache = engine(limit)
        assert answers(small) == expected
        assert 0 < cache.bytes <= cache.limit_bytes
        assert small.stats().failed == 0


def test_nothing_is_taken_for_what_does_not_run() -> None:
    one, cache = engine(SLOTS)
    one.submit([Ask([1, 2], SamplingParams(max_tokens=5, temperature=0))], lambda event: None)
    while one.live:
        one.step()
    assert cache.bytes * 32 == SLOTS * CONTEXT * cache.position_bytes


def test_a_request_that_fits_by_itself_is_never_refused_for_room() -> None:
    one, _ = engine(1)
    params = SamplingParams(max_tokens=CONTEXT, temperature=0, ignore_eos=True)
    short = SamplingParams(max_tokens=3, temperature=0)
    running = one.submit([Ask([5] * (CONTEXT - 20), params)], lambda event: None)[0]
    waiting = one.submit([Ask([6], short)], lambda event: None)[0]
    one.step()
    assert one.stats().running == 1
    while one.live:
        one.step()
    assert len(running.tokens) == 20
    assert len(waiting.tokens) == 3


LONG = {"max_tokens": 290, "ignore_eos": True}
WAYS = [
    {"temperature": 0.0},
    {"temperature": 1.2, "seed": 7, "top_p": 0.9},
    {"temperature": 1.0, "seed": 8, "frequency_penalty": 0.7, "repetition_penalty": 1.2},
    {"temperature": 0.0, "top_logprobs": 2, "stop": ("never there",)},
]


def told(engine: Engine, asks: list[Ask], choices: int = 1) -> dict[Any, list[Delta]]:
    """All that is told of each choice, while others begin one after another."""
    found: dict[Any, list[Delta]] = {}
    for number, ask in enumerate(asks):

        def tell(event: Event, number: int = number) -> None:
            assert isinstance(event, Delta)
            found.setdefault((number, event.choice), []).append(event)

        engine.submit([ask], tell, choices=choices)
        for _ in range(9):
            engine.step()
    for _ in range(6000):
        if not engine.live:
            break
        engine.step()
    assert not engine.live, "somebody waits for ever"
    return found


def clean(engine: Engine) -> bool:
    """No slot, no place in the queue, and no tenant is left behind."""
    stats = engine.stats()
    return not (stats.running or stats.waiting or stats.waiting_by_tenant or stats.failed)


@pytest.mark.parametrize("choices", [1, 2])
def test_who_gives_way_goes_on_as_if_nothing_had_been(choices: int) -> None:
    """Texts, scores, counts and random numbers, streamed without a gap and without a repetition."""
    asks = [
        Ask([9 + number] * (20 + number), SamplingParams(**LONG, **way), tenant="ab"[number % 2])
        for number, way in enumerate(WAYS * (3 - choices))
    ]
    whole, _ = engine(None)
    expected = told(whole, asks, choices)
    small, cache = engine(2)

    found = told(small, asks, choices)

    assert whole.stats().preemptions == 0 < small.stats().preemptions
    assert found.keys() == expected.keys()
    for key, deltas in found.items():
        assert [delta.token_ids for delta in deltas] == [d.token_ids for d in expected[key]]
        assert "".join(d.text for d in deltas) == "".join(d.text for d in expected[key])
        assert [d.completion_tokens for d in deltas] == [d.completion_tokens for d in expected[key]]
        scores = [[s.token_id for d in part for s in d.scores] for part in (deltas, expected[key])]
        assert scores[0] == scores[1]
        assert deltas[-1].finish == expected[key][-1].finish == "length"
    assert clean(small) and cache.bytes <= cache.limit_bytes


def test_a_long_answer_that_is_only_asked_for_keeps_nobody_waiting() -> None:
    """The longest answers are what clients ask for by default; few come to be."""
    one, _ = engine(2)
    params = SamplingParams(max_tokens=CONTEXT - 10, temperature=0, ignore_eos=True)
    running = one.submit([Ask([n], params) for n in range(SLOTS)], lambda event: None)
    for _ in range(60):
        one.step()
    assert one.stats().running == SLOTS
    assert one.stats().preemptions == 0
    one.cancel(running)
    one.step()
    assert clean(one)


def test_the_least_urgent_gives_way_and_is_the_first_to_go_on() -> None:
    one, _ = engine(1)
    ended: list[str] = []

    def ask(name: str, priority: int, deadline: float | None = None) -> None:
        prompt = [len(ended) + 3 + ord(name)]
        params = SamplingParams(**LONG, temperature=0)
        one.submit(
            [Ask(prompt, params, priority=priority, deadline=deadline)],
            lambda event: ended.append(name) if event.finish else None,
        )
        one.step()

    # Its deadline passes while it waits for the second time: it has begun, so it goes on.
    ask("l", LOW, time.monotonic() + 0.01)
    ask("h", HIGH)
    ask("n", NORMAL)
    while one.stats().preemptions == 0:
        one.step()
    ask("k", LOW)
    while one.live:
        one.step()
    assert ended[0] == "h"
    assert ended.index("l") < ended.index("k")
    assert clean(one)


def test_nobody_gives_way_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """While urgent requests come without end, who has waited long enough is as urgent as they."""
    monkeypatch.setattr(fair, "AGING", 0.2)
    one, _ = engine(1)
    over = threading.Event()
    one.submit(
        [Ask([3], SamplingParams(**LONG, temperature=0), priority=LOW)],
        lambda event: over.set() if event.finish else None,
    )
    params = SamplingParams(max_tokens=300, temperature=0, ignore_eos=True)
    deadline = time.monotonic() + 60
    while not over.is_set():
        assert time.monotonic() < deadline
        if one.live < 4:
            one.submit([Ask([5], params, priority=HIGH, tenant="b")], lambda event: None)
        one.step()
    assert one.stats().preemptions > 0


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_memory_on_the_cpu_is_taken_where_it_is_written(slots: int) -> None:
    cache = SlotCache(slots=slots, length=64, dtype=torch.float32, device=torch.device("cpu"))
    assert cache.has_room(slots, 64)
    cache.write(0, torch.zeros(1, dtype=torch.long), *(torch.ones(1, 2, 4),) * 2)
    assert cache.bytes == slots * 64 * cache.position_bytes
