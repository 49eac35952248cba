"""Prompts that begin alike are computed once, never across tenants, in bounded memory."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.fakes import FakeBlocks, FakeRunner, Letters, continued, counting
from workers.lm.inference.ask import Ask
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.engine import Engine
from workers.lm.inference.events import Ended, Event
from workers.lm.inference.kv_cache import SlotBlocks
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.prefixes import BLOCK, PrefixCache
from workers.lm.inference.probe import choose_runner
from workers.lm.inference.sequence import Sequence

TEXT = TokenizerText(tiny.tokenizer())
CONTEXT = 256
BEGINNING = [token % 15 for token in range(1, 40)]


def fake(blocks: int = 20, **options: Any) -> tuple[Engine, FakeRunner, PrefixCache]:
    runner = FakeRunner(counting, context=512, chunk=16)
    prefixes = PrefixCache(FakeBlocks(runner, blocks))
    return Engine(runner, Letters(), (), prefixes=prefixes, **options), runner, prefixes


def run(engine: Engine, ask: Ask, choices: int = 1, sink: Any = None) -> Sequence:
    sequences = engine.submit([ask], sink or (lambda event: None), choices=choices)
    while engine.live:
        engine.step()
    return sequences[0]


def greedy(count: int, **changes: Any) -> SamplingParams:
    return SamplingParams(max_tokens=count, temperature=0, **changes)


def computed(runner: FakeRunner) -> int:
    """Tokens of prompts since the last time."""
    count = sum(len(chunk.tokens) for plan in runner.plans for chunk in plan.chunks)
    runner.plans.clear()
    return count


def test_the_second_prompt_computes_only_what_is_its_own() -> None:
    engine, runner, prefixes = fake()
    first = run(engine, Ask([*BEGINNING, 3], greedy(5)))
    assert (first.cached_tokens, computed(runner)) == (0, 40)
    second = run(engine, Ask([*BEGINNING, 7, 7], greedy(5)))
    assert (second.cached_tokens, computed(runner)) == (36, 5)
    assert second.tokens == continued([*BEGINNING, 7, 7], 5)
    assert prefixes.hit_tokens == 36


def test_the_same_prompt_again_still_computes_its_last_token() -> None:
    engine, runner, _ = fake()
    for expected in (36, 4):
        assert run(engine, Ask(BEGINNING[:36], greedy(3))).tokens == continued(BEGINNING[:36], 3)
        assert computed(runner) == expected


def test_an_answer_is_the_beginning_of_the_next_prompt_of_its_conversation() -> None:
    engine, runner, _ = fake()
    prompt = BEGINNING[:6]
    answer = run(engine, Ask(prompt, greedy(20))).tokens
    computed(runner)
    following = run(engine, Ask([*prompt, *answer, 2, 2], greedy(3)))
    assert following.cached_tokens == 24
    assert computed(runner) == 4


@pytest.mark.parametrize(
    "other", [{"tenant": "globex"}, {"tenant": ""}, {"tenant": "acme", "adapter": "x"}]
)
def test_nothing_is_shared_between_tenants_or_adapters(
    other: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, runner, _ = fake()
    monkeypatch.setattr(engine.adapters, "take", lambda name, count: name)
    run(engine, Ask(BEGINNING, greedy(3), tenant="acme"))
    computed(runner)
    assert run(engine, Ask(BEGINNING, greedy(3), **other)).cached_tokens == 0
    assert computed(runner) == len(BEGINNING)
    assert run(engine, Ask(BEGINNING, greedy(3), tenant="acme")).cached_tokens == 36


def test_a_scored_prompt_is_read_whole() -> None:
    engine, _, _ = fake()
    run(engine, Ask(BEGINNING, greedy(3)))
    events: list[Event] = []
    scored = greedy(1, score_prompt=True, top_logprobs=0)
    assert run(engine, Ask(BEGINNING, scored), 2, events.append).cached_tokens == 0
    for choice in (0, 1):
        scores = [s for event in events if event.choice == choice for s in event.prompt_scores]
        assert [score.token_id for score in scores] == BEGINNING


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_forgotten_answers_are_right_and_memory_is_bounded(seed: int) -> None:
    chance = random.Random(seed)
    blocks = chance.choice([1, 2, 5, 9])
    engine, _, prefixes = fake(blocks)
    trunks = [[chance.randrange(16) for _ in range(40)] for _ in range(3)]
    for _ in range(40):
        prompt = [*chance.choice(trunks)[: chance.randint(1, 40)], chance.randrange(16)]
        ask = Ask(prompt, greedy(chance.randint(1, 9)), tenant=chance.choice("ab"))
        assert run(engine, ask).tokens == continued(prompt, ask.params.max_tokens)
        places = list(prefixes._places.values())
        assert len(set(places)) == len(places) == blocks - prefixes.free
    assert prefixes.hit_tokens > 0


def test_what_is_asked_for_again_stays_and_the_rest_is_forgotten() -> None:
    engine, _, _ = fake(blocks=12)
    run(engine, Ask(BEGINNING[:17], greedy(1)))
    for number in range(12):
        run(engine, Ask([number] * 9, greedy(1)))
        assert run(engine, Ask(BEGINNING[:17], greedy(1))).cached_tokens == 16
    assert run(engine, Ask([0] * 9, greedy(1))).cached_tokens == 0
    assert run(engine, Ask([11] * 9, greedy(1))).cached_tokens == 8


def test_a_prompt_larger_than_the_store_is_kept_as_far_as_it_fits() -> None:
    engine, _, prefixes = fake(blocks=3)
    run(engine, Ask(BEGINNING, greedy(1)))
    assert prefixes.free == 0
    assert run(engine, Ask(BEGINNING, greedy(1))).cached_tokens == 12


def test_numbers_that_are_not_finite_are_not_kept() -> None:
    def logits(prefix: list[int]) -> list[float]:
        return [float("nan")] * 16 if len(prefix) > 20 else counting(prefix)

    runner = FakeRunner(logits, context=512, chunk=16)
    prefixes = PrefixCache(FakeBlocks(runner, 9))
    engine = Engine(runner, Letters(), (), prefixes=prefixes)
    events: list[Event] = []
    run(engine, Ask(BEGINNING[:18], greedy(9)), sink=events.append)
    assert isinstance(events[-1], Ended)
    assert prefixes.free == 9


def test_a_store_that_fails_costs_no_answer() -> None:
    class Broken(FakeBlocks):
        def save(self, slot: int, first: int, blocks: list[int]) -> None:
            raise MemoryError

    runner, log = FakeRunner(counting, context=512), []
    prefixes = PrefixCache(Broken(runner, 9))
    engine = Engine(runner, Letters(), (), prefixes=prefixes, log=log.append)
    for _ in range(2):
        assert run(engine, Ask(BEGINNING, greedy(4))).tokens == continued(BEGINNING, 4)
    assert len(log) == 1


# ---- a real model --------------------------------------------------------------------------


def real(kind: str, prefixes: bool, **changes: Any) -> Engine:
    model = tiny.model(kind, max_position_embeddings=CONTEXT, **changes)
    runner, why = choose_runner(model, context_length=CONTEXT, max_slots=3, prefill_chunk=64)
    assert isinstance(runner, PackedRunner), why
    store = PrefixCache(SlotBlocks(runner.cache, 2**20)) if prefixes else None
    return Engine(runner, TEXT, {tiny.EOS}, prefixes=store)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("llama", {}), ("qwen2", {}), ("mistral", {"sliding_window": 40}), ("gpt_neox", {})],
)
def test_answers_are_the_same_with_what_was_kept(kind: str, changes: dict[str, Any]) -> None:
    chance = random.Random(2)
    trunk = [chance.randrange(tiny.VOCABULARY) for _ in range(150)]
    kept, plain = real(kind, True, **changes), real(kind, False, **changes)
    cached = []
    for cut, own in ((150, 1), (150, 9), (100, 30), (33, 2), (150, 1)):
        prompt = trunk[:cut] + [chance.randrange(tiny.VOCABULARY) for _ in range(own)]
        asks = [
            Ask(prompt, greedy(20, ignore_eos=True)),
            Ask(prompt, SamplingParams(max_tokens=20, seed=3, ignore_eos=True)),
        ]
        for ask in asks:
            one = run(kept, ask, choices=2)
            cached.append(one.cached_tokens)
            assert one.tokens == run(plain, ask, choices=2).tokens
    assert cached[0] == 0
    assert cached[2::2] == [128, 96, 32, 128]


def test_what_is_put_back_is_what_was_computed_to_the_last_bit() -> None:
    engine = real("llama", True)
    cache = engine.runner.cache
    prompt = [token % tiny.VOCABULARY for token in range(0, 7 * 70, 7)]
    run(engine, Ask(prompt, greedy(2)))
    before = [store[0, :64].clone() for store in (*cache.keys.values(), *cache.values.values())]
    with torch.inference_mode():
        for store in (*cache.keys.values(), *cache.values.values()):
            store.fill_(7)
    assert run(engine, Ask(prompt, greedy(2))).cached_tokens == 64
    after = [store[0, :64] for store in (*cache.keys.values(), *cache.values.values())]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert BLOCK == 32


def test_the_health_page_counts_what_is_kept_and_who_waits() -> None:
    engine, _, _ = fake(blocks=20)
    run(engine, Ask(BEGINNING, greedy(2)))
    run(engine, Ask(BEGINNING, greedy(2)))
    for tenant in ("acme", "acme", "globex", "acme", "globex"):
        engine.submit([Ask([1], greedy(30), tenant=tenant)], lambda event: None)
    engine.step()
    stats = engine.stats().as_dict()
    assert (stats["cache_blocks_total"], stats["cache_blocks_free"]) == (20, 10)
    assert stats["prefix_hit_tokens"] == 36
    assert stats["waiting_by_tenant"] == {"acme": 1, "globex": 1}
    assert (stats["running"], stats["waiting"]) == (3, 2)
