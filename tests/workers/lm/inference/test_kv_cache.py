"""A cache that grows with what runs, within its limit: right answers, and nobody waits for ever."""

from __future__ import annotations

import random

import pytest
import torch

from tests.workers.lm.inference import tiny
from workers.lm.inference.ask import Ask
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.drafts import Drafter, PromptGuesser
from workers.lm.inference.engine import Engine
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


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_memory_on_the_cpu_is_taken_where_it_is_written(slots: int) -> None:
    cache = SlotCache(slots=slots, length=64, dtype=torch.float32, device=torch.device("cpu"))
    assert cache.has_room(slots, 64)
    cache.write(0, torch.zeros(1, dtype=torch.long), *(torch.ones(1, 2, 4),) * 2)
    assert cache.bytes == slots * 64 * cache.position_bytes
