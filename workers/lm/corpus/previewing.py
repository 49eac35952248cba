"""What a preparation would do to a few documents, before and after, without keeping anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workers.lm.corpus.grouping import Texts
from workers.lm.corpus.steps import DocumentSteps, Kept, PrepareOptions
from workers.lm.corpus.stored import Row, Shard, read_rows
from workers.lm.corpus.texts import normalised

#: Examples that are shown, and characters of each text.
EXAMPLES, SHOWN = 60, 400


def preview(shards: Sequence[Shard], options: PrepareOptions, work_dir: Path) -> dict[str, Any]:
    """Tallies, and an example for every document that is changed or dropped, up to a limit."""
    steps = DocumentSteps(options)
    near = options.near_duplicates != "keep"
    texts = Texts(work_dir / "preview", width=options.near_width, near=near)
    kept: list[tuple[Row, Kept]] = []
    examples: list[dict[str, Any]] = []
    for row in read_rows(shards):
        taken = steps.take(row)
        if isinstance(taken, str):
            examples.append(_example(row, None, taken))
            continue
        if taken.changed or taken.redacted or taken.text != row.text:
            examples.append(_example(row, taken.text, ""))
        texts.add(normalised(taken.text))
        kept.append((row, taken))
    left = _without_doubles(texts, kept, options, steps, examples) if kept else 0
    texts.close()
    order = sorted(examples, key=lambda example: (example["after"] is not None, example["index"]))
    return {
        "documents": steps.tally.seen, "kept": left, "steps": steps.tally.to_dict(),
        "examples": order[:EXAMPLES], "more": max(0, len(order) - EXAMPLES),
    }  # fmt: skip


def _without_doubles(
    texts: Texts,
    kept: list[tuple[Row, Kept]],
    options: PrepareOptions,
    steps: DocumentSteps,
    examples: list[dict[str, Any]],
) -> int:
    first = texts.equal()
    leaders = first
    if options.near_duplicates != "keep":
        leaders = texts.near(first, lambda n: normalised(kept[n][1].text), options.near_threshold)
    numbers = np.arange(len(kept))
    exact = (first != numbers) & (options.exact_duplicates == "drop")
    near = (leaders != first) & (leaders != numbers) & ~exact & (options.near_duplicates == "drop")
    for step, column, of in (("exact", exact, first), ("near", near, leaders)):
        steps.tally.dropped[step] = int(column.sum())
        for number in np.flatnonzero(column):
            row, other = kept[number][0], kept[int(of[number])][0]
            examples.append(_example(row, None, step, f"{other.split} {other.index}"))
    return int(len(kept) - exact.sum() - near.sum())


def _example(row: Row, after: str | None, step: str, other: str = "") -> dict[str, Any]:
    return {
        "split": row.split, "index": row.index, "step": step, "other": other,
        "before": row.text[:SHOWN] or row.problem, "after": after and after[:SHOWN],
        "characters": [len(row.text), len(after or "")],
    }  # fmt: skip
