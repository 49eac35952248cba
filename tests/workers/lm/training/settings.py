"""One tiny training that all tests of this folder share."""

from pathlib import Path
from typing import Any

from tests.workers.lm.recording import Recorder, sentences, write_documents
from workers.lm.training.run import train
from workers.lm.training.spec import TrainSpec

ARCHITECTURE = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2,
                "activation_function": "gelu_pytorch_tanh"}  # fmt: skip

SPEC: dict[str, Any] = {
    "architecture": ARCHITECTURE, "vocab_size": 300, "sequence_length": 16, "batch_size": 8,
    "steps": 20, "warmup_steps": 2, "learning_rate": 1e-2, "min_learning_rate": 1e-3,
    "dropout": 0.1, "evaluate_every": 5, "evaluation_batches": 4, "checkpoint_every": 5,
    "log_every": 1, "threads": 1,
}  # fmt: skip


def tiny_spec(**changes: Any) -> TrainSpec:
    """The shared settings with some of them changed."""
    return TrainSpec(**{**SPEC, **changes})


class StopAt(Recorder):
    """Asks to stop once the loss of a step was told."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def should_stop(self) -> bool:
        return self._step in self.series("loss")


def run_training(
    root: Path, events: Any, spec: TrainSpec | None = None, name: str = "out", **options: Any
) -> Any:
    """Train on generated sentences with everything below `root`."""
    train_file = write_documents(root / "train.jsonl", sentences(300, seed=1))
    validation_file = write_documents(root / "validation.jsonl", sentences(60, seed=2))
    return train(
        spec or tiny_spec(), [train_file], [validation_file], root / "work", root / "checkpoints",
        root / name, events, **options,
    )  # fmt: skip
