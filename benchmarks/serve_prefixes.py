"""What kept prefixes and guesses save: CPU seconds to the first token, and tokens per CPU second.

    python benchmarks/serve_prefixes.py [--size 30m] [--prefix 1000] [--only prefix,layout,draft]

`prefix`: a prompt with a beginning that was computed before, against the same prompt computed
whole. `layout`: a decode step's attention over contiguous slots against the same over blocks that
must be gathered first, and what copying a kept beginning into a slot costs. `draft`: an answer that
repeats what stands in its prompt, with guesses and without. Random weights, one thread, each line
one JSON object; on a machine that others use trust the ratios of CPU seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from serve_engine import NoText, make_model

from workers.lm.inference.ask import Ask
from workers.lm.inference.drafts import Drafter, PromptGuesser
from workers.lm.inference.engine import Engine
from workers.lm.inference.kv_cache import SlotBlocks
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.prefixes import BLOCK, PrefixCache
from workers.lm.inference.probe import choose_runner


def emit(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def answer(engine: Engine, prompt: list[int], tokens: int) -> tuple[list[int], int]:
    params = SamplingParams(max_tokens=tokens, temperature=0, ignore_eos=True)
    one = engine.submit([Ask(prompt, params)], lambda event: None)[0]
    while engine.live:
        engine.step()
    return one.tokens, one.cached_tokens


def runner_of(size: str, context: int, slots: int) -> PackedRunner:
    model = make_model(size, context, 1)
    runner, why = choose_runner(model, context_length=context, max_slots=slots, prefill_chunk=256)
    if not isinstance(runner, PackedRunner):
        raise SystemExit(why)
    return runner


def prefix(options: argparse.Namespace) -> None:
    """First tokens of prompts of `prefix` shared tokens and 16 of their own."""
    runner = runner_of(options.size, options.prefix + 64, 4)
    cold = Engine(runner, NoText(), ())
    warm = Engine(runner, NoText(), (), prefixes=PrefixCache(SlotBlocks(runner.cache, 2**28)))
    generator = torch.Generator().manual_seed(3)
    trunk = torch.randint(1, 4000, (options.prefix,), generator=generator).tolist()
    answer(cold, trunk, 1)
    answer(warm, trunk, 1)
    rows = []
    for number in range(options.repeats):
        prompt = [*trunk, *range(number + 1, number + 17)]
        whole = cpu(lambda prompt=prompt: answer(cold, prompt, 1))
        again = cpu(lambda prompt=prompt: answer(warm, prompt, 1))
        rows.append((whole, again))
        told = answer(warm, prompt, 12)
        assert told[0] == answer(cold, prompt, 12)[0], "kept prefixes change the answer"
    whole, again = (statistics.median(column) for column in zip(*rows, strict=True))
    emit(
        what="prefix", size=options.size, prefix=options.prefix, cached=told[1],
        whole_ms=round(whole * 1000, 2), again_ms=round(again * 1000, 2),
        ratio=round(again / whole, 3),
    )  # fmt: skip


def layout(options: argparse.Namespace) -> None:
    """One layer's attention of a decode step, as slots and as gathered blocks."""
    slots, groups, heads, size = 16, 2, 6, 64
    for length in (256, 1024):
        keys, values = (torch.randn(slots, length, groups, size) for _ in range(2))
        query = torch.randn(slots, groups, heads // groups, size)
        count = slots * length // BLOCK
        pools = [
            store.view(count, BLOCK, groups, size)[torch.randperm(count)].clone()
            for store in (keys, values)
        ]
        table = torch.randperm(count).view(slots, length // BLOCK)

        def contiguous(keys=keys, values=values, query=query) -> torch.Tensor:
            return functional.scaled_dot_product_attention(
                query, keys.transpose(1, 2), values.transpose(1, 2)
            )

        def gathered(pools=pools, table=table, query=query, length=length) -> torch.Tensor:
            held = [pool[table].view(slots, length, groups, size) for pool in pools]
            return functional.scaled_dot_product_attention(
                query, held[0].transpose(1, 2), held[1].transpose(1, 2)
            )

        times = [
            min(cpu(lambda work=work: [work() for _ in range(50)]) / 50 for _ in range(5))
            for work in (contiguous, gathered)
        ]
        target, source = torch.empty(length, groups, size), keys[1]

        def copying(target=target, source=source) -> None:
            for _ in range(50):
                target.copy_(source)

        copy = min(cpu(copying) / 50 for _ in range(5))
        emit(
            what="layout", slots=slots, length=length,
            slots_us=round(times[0] * 1e6, 1), blocks_us=round(times[1] * 1e6, 1),
            ratio=round(times[1] / times[0], 2), copy_one_slot_us=round(2 * copy * 1e6, 1),
        )  # fmt: skip


def draft(options: argparse.Namespace) -> None:
    """Greedy answers of random weights soon run in circles, so the text itself tells how they go
    on; drawn ones never do, so there guesses can only cost."""
    runner = runner_of(options.size, 1024, 8)
    generator = torch.Generator().manual_seed(5)
    for level, temperature in itertools.product((1, 4, 8), (0.0, 1.0)):
        prompts = [
            torch.randint(1, 4000, (32,), generator=generator).tolist() for _ in range(level)
        ]
        rates = []
        for drafter in (None, Drafter(PromptGuesser(), options.draft_tokens)):
            engine = Engine(runner, NoText(), (), drafter=drafter)
            params = SamplingParams(
                max_tokens=options.tokens, temperature=temperature, seed=7, ignore_eos=True
            )
            best = 0.0
            for _ in range(options.repeats):
                own = engine.submit([Ask(prompt, params) for prompt in prompts], lambda event: None)

                def run(engine=engine) -> None:
                    while engine.live:
                        engine.step()

                best = max(best, level * options.tokens / cpu(run))
            rates.append((best, [one.tokens for one in own], engine.gauges))
        assert rates[0][1] == rates[1][1], "guesses change the answer"
        gauges = rates[1][2]
        emit(
            what="draft", size=options.size, concurrency=level,
            answers="drawn" if temperature else "greedy",
            plain_tokens_per_cpu_s=round(rates[0][0], 1),
            draft_tokens_per_cpu_s=round(rates[1][0], 1),
            ratio=round(rates[1][0] / rates[0][0], 2),
            accepted=gauges.accepted, drafted=gauges.drafted,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="30m")
    parser.add_argument("--prefix", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--draft-tokens", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="prefix,layout,draft")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only.split(","):
        {"prefix": prefix, "layout": layout, "draft": draft}[name](options)


if __name__ == "__main__":
    main()
