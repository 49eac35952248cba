"""Small trainings in one process and in several, without dropout unless it is asked for."""

from pathlib import Path
from typing import Any

from tests.workers.lm.recording import Recorder, sentences, write_documents
from tests.workers.lm.training.distributed.filed import FiledEvents, recorded
from tests.workers.lm.training.settings import tiny_spec
from workers.lm.errors import RankLost
from workers.lm.training.checkpoints import newest_valid_checkpoint
from workers.lm.training.distributed.training import train_together
from workers.lm.training.run import train
from workers.lm.training.spec import TrainSpec

LLAMA = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
         "tie_word_embeddings": False}  # fmt: skip


def spec_of(processes: int = 1, way: str = "ddp", **changes: Any) -> TrainSpec:
    """The shared settings for so many processes."""
    return tiny_spec(**{"dropout": 0.0, "processes": processes, "parallel": way, **changes})


def places(root: Path, name: str = "out") -> tuple[Any, ...]:
    """What `train` takes after the settings."""
    train_file = write_documents(root / "train.jsonl", sentences(300, seed=1))
    validation_file = write_documents(root / "validation.jsonl", sentences(60, seed=2))
    return [train_file], [validation_file], root / "work", root / "checkpoints", root / name


def run(root: Path, spec: TrainSpec, **options: Any) -> tuple[Any, Recorder]:
    """Train to the end, in as many processes as the settings say; the result and what was told."""
    inputs, file = places(root), root / f"events-{options.get('attempt', 1)}.jsonl"
    if spec.processes == 1:
        result = train(spec, *inputs, FiledEvents(file), **options)
    else:
        with train_together(spec, *inputs, events=FiledEvents(file), **options) as ranks:
            result = ranks.result()
    return result, recorded(file)


def run_to_the_end(root: Path, spec: TrainSpec, attempt: int = 1) -> tuple[Any, Recorder]:
    """Train as a job does: where a process has crashed, it goes on from the newest checkpoint.

    Here processes are forked from one in which other tests have left threads and connections,
    which no worker does; on a crowded machine the allocator of such a process has ended it.
    """
    for number in range(attempt, attempt + 3):
        newest = newest_valid_checkpoint(root / "checkpoints")
        options = {"resume_from": root / "checkpoints"} if newest else {}
        try:
            return run(root, spec, attempt=number, **options)
        except RankLost as error:
            print(f"attempt {number}: {error}")
            lost = error
            if "SIGABRT" not in str(error) and "SIGSEGV" not in str(error):
                raise
    raise lost
