"""Conversations for tests, and a tiny base that has learned to answer them."""

import json
import random
from pathlib import Path
from typing import Any

from tests.workers.lm.training.settings import SPEC, tiny_spec
from workers.lm.training.run import train
from workers.lm.training.spec import TrainSpec


def talk(question: str, answer: str, system: str = "") -> dict[str, Any]:
    """One row of a dataset: a question with its answer."""
    first = [{"role": "system", "content": system}] if system else []
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": [*first, *turns]}


def sums(count: int, seed: int) -> list[dict[str, Any]]:
    """Questions whose answers repeat two digits."""
    source = random.Random(seed)
    pairs = [(source.randrange(10), source.randrange(10)) for _ in range(count)]
    return [talk(f"Say {a} and {b}.", f"{a} {b}", "Be brief.") for a, b in pairs]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A JSON-lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answering_spec(**changes: Any) -> TrainSpec:
    """The shared tiny settings, learning answers only."""
    return tiny_spec(**{"loss_on": "answers", "sequence_length": 48, **changes})


def adapter_spec(**changes: Any) -> TrainSpec:
    """A tiny adapter of a base."""
    shared = {name: value for name, value in SPEC.items() if name != "architecture"}
    own = {"tokenizer": "base", "loss_on": "answers", "sequence_length": 48, "lora_rank": 4,
           "lora_dropout": 0.1, "dropout": 0.0}  # fmt: skip
    return TrainSpec(**{**shared, **own, **changes})


def run_on(
    root: Path, events: Any, spec: TrainSpec, rows: list[dict[str, Any]] | None = None,
    name: str = "out", **options: Any,
) -> Any:  # fmt: skip
    """Train on conversations with everything below `root`."""
    train_file = write_rows(root / "train.jsonl", sums(120, 1) if rows is None else rows)
    validation_file = write_rows(root / "validation.jsonl", sums(30, 2))
    return train(
        spec, [train_file], [validation_file], root / "work", root / "checkpoints", root / name,
        events, **options,
    )  # fmt: skip
