"""How far a converted model is from its source: logits, divergence, perplexity, greedy answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

from workers.lm.formats.base import Reader

#: Asked where no dataset was chosen, and for the greedy answers.
PROMPTS = (
    "Once upon a time there was a small house at the edge of the forest, and in it",
    "The committee will meet on Thursday to decide whether the bridge",
    "def mean(values):\n    total = 0\n    for value in values:\n",
    "Question: What is the capital of France?\nAnswer:",
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\n",
    "Water boils at a lower temperature on a mountain because",
    "从前有一座山，山里有一座庙，庙里",
    "1, 2, 3, 5, 8, 13,",
)
GREEDY_TOKENS = 24
#: Tokens that are compared at most, and how long one window is.
MOST_TOKENS, WINDOW, ROWS = 8192, 256, 4
#: Borders between the bars of the picture of errors.
DECADES = tuple(range(-8, 3))


@dataclass
class Sums:
    """What is added up over all windows."""

    tokens: int = 0
    max_error: float = 0.0
    error: float = 0.0
    max_divergence: float = 0.0
    divergence: float = 0.0
    agree: int = 0
    nats: list[float] = field(default_factory=lambda: [0.0, 0.0])
    counted: int = 0
    cpu: list[float] = field(default_factory=lambda: [0.0, 0.0])
    decades: list[int] = field(default_factory=lambda: [0] * (len(DECADES) + 1))


def windows(texts: Sequence[list[int]], context: int, most: int = MOST_TOKENS) -> list[list[int]]:
    """Token windows of at most the context, longest first, until `most` tokens are there."""
    length, found, total = min(context, WINDOW), [], 0
    for ids in texts:
        for start in range(0, len(ids), length):
            part = ids[start : start + length]
            if len(part) < 2:
                continue
            found.append(part[: max(2, most - total)])
            total += len(found[-1])
            if total >= most:
                return sorted(found, key=len, reverse=True)
    return sorted(found, key=len, reverse=True)


@torch.inference_mode()
def compare(
    source: Reader, output: Reader, rows: list[list[int]], on_batch: Callable[[int, int], None]
) -> Sums:
    """Both models read the same windows; every position counts."""
    sums, start = Sums(), 0
    while start < len(rows):
        width = len(rows[start])
        batch = [row for row in rows[start : start + ROWS] if len(row) == width]
        ids = torch.tensor(batch, dtype=torch.int64)
        first, second = _timed(source, ids, sums, 0), _timed(output, ids, sums, 1)
        _add(sums, ids, first, second)
        start += len(batch)
        on_batch(start, len(rows))
    return sums


def _timed(reader: Reader, ids: torch.Tensor, sums: Sums, place: int) -> torch.Tensor:
    begun = time.process_time()
    logits = reader.logits(ids)
    sums.cpu[place] += time.process_time() - begun
    return logits


def _add(sums: Sums, ids: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> None:
    vocabulary = min(first.shape[-1], second.shape[-1])
    first, second = first[..., :vocabulary], second[..., :vocabulary]
    error = (first - second).abs()
    ours, theirs = functional.log_softmax(first, -1), functional.log_softmax(second, -1)
    divergence = (ours.exp() * (ours - theirs)).sum(-1).clamp_min(0)
    sums.tokens += ids.numel()
    sums.max_error = _worst(sums.max_error, error)
    sums.error += float(error.mean(-1).double().sum())
    sums.max_divergence = _worst(sums.max_divergence, divergence)
    sums.divergence += float(divergence.double().sum())
    sums.agree += int((first.argmax(-1) == second.argmax(-1)).sum())
    targets = ids[:, 1:]
    for place, logs in enumerate((ours, theirs)):
        picked = logs[:, :-1].gather(-1, targets[..., None])
        sums.nats[place] -= float(picked.double().sum())
    sums.counted += targets.numel()
    worst = error.amax(-1).clamp_min(1e-12).log10().flatten()
    places = torch.bucketize(worst, torch.tensor(DECADES, dtype=worst.dtype))
    for place, count in enumerate(torch.bincount(places, minlength=len(DECADES) + 1).tolist()):
        sums.decades[place] += count


def _worst(known: float, values: torch.Tensor) -> float:
    found = float(values.max())
    return max(known, found) if math.isfinite(found) else math.inf


@torch.inference_mode()
def greedy(reader: Reader, prompt: list[int], tokens: int, context: int) -> list[int]:
    """The most likely continuation."""
    ids = list(prompt)
    for _ in range(tokens):
        if len(ids) >= context:
            break
        logits = reader.logits(torch.tensor([ids], dtype=torch.int64))
        ids.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :]


def figures(sums: Sums) -> dict[str, Any]:
    """The sums as the report gives them."""
    loss = [nats / max(1, sums.counted) for nats in sums.nats]
    perplexity = [math.exp(min(700.0, value)) for value in loss]
    return {
        "tokens": sums.tokens,
        "logits": {
            "max_error": sums.max_error, "mean_error": sums.error / max(1, sums.tokens),
            "decades": sums.decades, "first_decade": DECADES[0],
        },
        "divergence": {
            "mean": sums.divergence / max(1, sums.tokens), "max": sums.max_divergence,
        },
        "perplexity": {
            "source": perplexity[0], "output": perplexity[1],
            "increase": perplexity[1] / perplexity[0] - 1,
        },
        "top1_agreement": sums.agree / max(1, sums.tokens),
        "tokens_per_cpu_second": {
            name: sums.tokens / max(1e-9, sums.cpu[place])
            for place, name in enumerate(("source", "output"))
        },
    }  # fmt: skip


def compare_greedy(
    source: Reader,
    output: Reader,
    tokenizer: Any,
    context: int,
    on_prompt: Callable[[int, int], None],
) -> dict[str, Any]:
    """What both answer to fixed prompts when the most likely token is always taken."""
    rows, equal, total = [], 0, 0
    for number, prompt in enumerate(PROMPTS):
        ids = tokenizer.backend_tokenizer.encode(prompt, add_special_tokens=False).ids
        ids = ids[: max(1, context - GREEDY_TOKENS)] or [0]
        ours = greedy(source, ids, GREEDY_TOKENS, context)
        theirs = greedy(output, ids, GREEDY_TOKENS, context)
        same = [a == b for a, b in zip(ours, theirs, strict=True)]
        equal, total = equal + sum(same), total + len(same)
        rows.append(
            {
                "prompt": prompt,
                "source": tokenizer.decode(ours),
                "output": tokenizer.decode(theirs),
                "first_divergence": same.index(False) if False in same else None,
            }
        )
        on_prompt(number + 1, len(PROMPTS))
    return {"agreement": equal / max(1, total), "tokens": total, "rows": rows}
