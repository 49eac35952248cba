"""Tokens per second and time to first token of the serving engine against plain `generate`.

    python benchmarks/serve_engine.py [--size 30m] [--threads 1] [--concurrency 1,4,16]

Random weights, greedy, end of sequence ignored, all systems in one process and one run. Each
line of output is one JSON object; `ratio_*` compares the engine with the named baseline at the
same concurrency. `even` asks every request for the same number of tokens (the best case of a
static batch), `mixed` for an eighth to all of it. Baselines: `generate_sequential` (transformers
`generate`, one request after another) and `generate_static_batch` (one padded batch, everybody
waits for it). On a machine that others use, trust the ratios per CPU second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel
from transformers.generation.streamers import BaseStreamer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workers.lm.inference.ask import Ask
from workers.lm.inference.engine import Engine
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.probe import choose_runner

SIZES: dict[str, dict[str, int]] = {
    "3m": {
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "vocab_size": 4096,
    },
    "30m": {
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 8,
        "vocab_size": 16384,
    },
    "125m": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "vocab_size": 32000,
    },
}


class NoText:
    """The engine's text side without a tokenizer: this benchmark is about the model."""

    def decode(self, ids: list[int]) -> str:
        return "x" * len(ids)

    def piece(self, token_id: int) -> bytes:
        return b"x"


class FirstToken(BaseStreamer):
    """Notes when `generate` hands out its first new token (the prompt comes before it)."""

    def __init__(self) -> None:
        self.calls, self.at = 0, 0.0

    def put(self, value: torch.Tensor) -> None:
        self.calls += 1
        if self.calls == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        pass


def make_model(size: str, context: int, seed: int) -> PreTrainedModel:
    """Random weights: speed does not depend on what they say."""
    shape = SIZES[size]
    heads = shape["hidden_size"] // 64
    groups = max(1, heads // 3) if heads % 3 == 0 else heads
    config = LlamaConfig(
        **shape,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=context,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config).eval()


def generate_sequential(
    model: PreTrainedModel, prompts: list[list[int]], lengths: list[int]
) -> tuple[list[float], float]:
    """One request after another; the later ones wait."""
    started, firsts = time.perf_counter(), []
    for prompt, length in zip(prompts, lengths, strict=True):
        ids, streamer = torch.tensor([prompt]), FirstToken()
        _generate(model, ids, length, streamer)
        firsts.append(streamer.at - started)
    return firsts, time.perf_counter() - started


def generate_static_batch(
    model: PreTrainedModel, prompts: list[list[int]], lengths: list[int]
) -> tuple[list[float], float]:
    """One padded batch; callers get their tokens when the batch is done."""
    widest = max(map(len, prompts))
    ids = torch.tensor([[0] * (widest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (widest - len(p)) + [1] * len(p) for p in prompts])
    started = time.perf_counter()
    _generate(model, ids, max(lengths), None, mask)
    whole = time.perf_counter() - started
    return [whole] * len(prompts), whole


@torch.inference_mode()
def _generate(
    model: PreTrainedModel,
    ids: torch.Tensor,
    length: int,
    streamer: Any,
    mask: torch.Tensor | None = None,
) -> None:
    model.generate(
        ids,
        attention_mask=torch.ones_like(ids) if mask is None else mask,
        do_sample=False,
        max_new_tokens=length,
        min_new_tokens=length,
        eos_token_id=None,
        pad_token_id=0,
        streamer=streamer,
    )


def engine_run(
    engine: Engine, prompts: list[list[int]], lengths: list[int]
) -> tuple[list[float], float]:
    """All requests arrive at once."""
    firsts: dict[int, float] = {}
    started = time.perf_counter()

    def sink(number: int) -> Callable[[Any], None]:
        return lambda event: firsts.setdefault(number, time.perf_counter() - started) and None

    for number, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
        params = SamplingParams(max_tokens=length, temperature=0, ignore_eos=True)
        engine.submit([Ask(prompt, params)], sink(number))
    while engine.live:
        engine.step()
    return list(firsts.values()), time.perf_counter() - started


def measure(
    run: Callable[[], tuple[list[float], float]], tokens: int, repeats: int, until: float
) -> dict[str, Any]:
    """The best of a few runs (others share the machine), stopped when time is up."""
    rows = []
    for _ in range(repeats):
        cpu = time.process_time()
        firsts, wall = run()
        rows.append((wall, time.process_time() - cpu, statistics.median(firsts), max(firsts)))
        if time.monotonic() > until:
            break
    wall, cpu, median, worst = min(rows)
    return {
        "tokens_per_s": round(tokens / wall, 1),
        "tokens_per_cpu_s": round(tokens / cpu, 1),
        "ttft_ms_p50": round(median * 1000, 1),
        "ttft_ms_max": round(worst * 1000, 1),
        "runs": len(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="30m")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--concurrency", default="1,4,16")
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=180, help="no new run after this")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    until = time.monotonic() + options.seconds
    context = options.prompt + options.tokens
    levels = [int(level) for level in options.concurrency.split(",")]
    plain = make_model(options.size, context, options.seed)
    served = make_model(options.size, context, options.seed)
    runner, why = choose_runner(
        served, context_length=context, max_slots=max(levels), prefill_chunk=256
    )
    engine = Engine(runner, NoText(), ())
    count = sum(parameter.numel() for parameter in plain.parameters())
    emit(about=True, parameters=count, mode=runner.mode, why=why, **vars(options))
    for level in levels:
        generator = torch.Generator().manual_seed(level)
        prompts = [
            torch.randint(
                1, plain.config.vocab_size, (options.prompt,), generator=generator
            ).tolist()
            for _ in range(level)
        ]
        most = options.tokens
        work = {"even": [most] * level}
        if level > 1:
            step = (most - most // 8) / (level - 1)
            work["mixed"] = [round(most // 8 + step * number) for number in range(level)]
        for shape, lengths in work.items():
            compare(plain, engine, prompts, lengths, shape, options.repeats, until)


def compare(
    plain: PreTrainedModel,
    engine: Engine,
    prompts: list[list[int]],
    lengths: list[int],
    shape: str,
    repeats: int,
    until: float,
) -> None:
    """One concurrency and shape of work: the engine, then each baseline and its ratios."""
    where = {"concurrency": len(prompts), "lengths": shape}
    systems: dict[str, Callable[[], tuple[list[float], float]]] = {
        "engine": lambda: engine_run(engine, prompts, lengths),
        "generate_sequential": lambda: generate_sequential(plain, prompts, lengths),
        "generate_static_batch": lambda: generate_static_batch(plain, prompts, lengths),
    }
    results = {}
    for name, run in systems.items():
        if name == "generate_static_batch" and len(prompts) == 1:
            continue
        if results and time.monotonic() > until:
            emit(**where, system=name, skipped="out of time")
            continue
        if name == "engine":
            run()  # warm the caches that the baselines find warm
        results[name] = measure(run, sum(lengths), repeats, until)
        row: dict[str, Any] = {**where, "system": name, **results[name]}
        if name != "engine":
            ours = results["engine"]
            row["ratio_tokens_per_s"] = round(ours["tokens_per_s"] / row["tokens_per_s"], 2)
            row["ratio_tokens_per_cpu_s"] = round(
                ours["tokens_per_cpu_s"] / row["tokens_per_cpu_s"], 2
            )
            row["ratio_ttft_p50"] = round(row["ttft_ms_p50"] / ours["ttft_ms_p50"], 2)
        emit(**row)


def emit(**row: Any) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
