"""Two or three processes find what one finds with the same batches."""

import json

import pytest
import torch
from safetensors.torch import load_file, save
from transformers import AutoModelForCausalLM

from tests.workers.lm.training.conversations import adapter_spec, sums, write_rows
from tests.workers.lm.training.distributed.filed import FiledEvents, recorded
from tests.workers.lm.training.distributed.settings import LLAMA, run, spec_of
from tests.workers.lm.training.settings import ARCHITECTURE
from workers.lm.training.distributed.training import train_together
from workers.lm.training.gathered import Gathered, Part
from workers.lm.training.run import train

pytestmark = pytest.mark.nodb

#: Small steps: where AdamW divides rounding by rounding, large ones make anything of it.
GENTLE = {"steps": 8, "learning_rate": 1e-3, "min_learning_rate": 1e-3, "batch_size": 12,
          "evaluation_batches": 3}  # fmt: skip
SHAPES = {"gpt2": ARCHITECTURE, "llama": LLAMA}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """One process with each shape: its folder and what it told."""
    found = {}

    def of(shape):
        if shape not in found:
            root = tmp_path_factory.mktemp(shape)
            found[shape] = root, *run(root, spec_of(architecture=SHAPES[shape], **GENTLE))
        return found[shape]

    return of


@pytest.mark.parametrize(
    ("shape", "way", "processes", "parts"),
    [
        ("gpt2", "ddp", 3, 1),
        ("llama", "ddp", 2, 3),
        ("gpt2", "fsdp", 3, 1),  # rows that three cannot share evenly
        ("llama", "fsdp", 2, 2),
        ("gpt2", "tensor", 2, 1),
        ("llama", "tensor", 2, 2),
    ],
)
def test_several_find_what_one_finds(tmp_path, single, shape, way, processes, parts):
    alone, result, told = single(shape)
    spec = spec_of(
        processes, way, architecture=SHAPES[shape], gradient_accumulation=parts, **GENTLE
    )
    other, heard = run(tmp_path, spec)

    for name in ("loss", "validation_loss"):
        expected = told.series(name)
        found = heard.series(name)
        assert found.keys() == expected.keys()
        assert max(abs(found[step] - expected[step]) for step in expected) < 5e-6
    assert other.parameters == result.parameters
    ours, theirs = (load_file(root / "out" / "model.safetensors") for root in (tmp_path, alone))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5
    assert other.files.keys() == result.files.keys()
    configs = [(root / "out" / "config.json").read_text() for root in (tmp_path, alone)]
    assert configs[0] == configs[1]
    checkpoint = tmp_path / "checkpoints" / "step-000008.a1"
    _, info = AutoModelForCausalLM.from_pretrained(checkpoint, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_answers_count_once_however_they_are_shared(tmp_path, way):
    settings = {**GENTLE, "steps": 6, "loss_on": "answers", "sequence_length": 48}
    losses = {}
    for processes in (1, 2):
        root = tmp_path / str(processes)
        told = talked(root, spec_of(processes, way, gradient_accumulation=2, **settings))
        losses[processes] = [told.series(name) for name in ("loss", "validation_loss")]

    for alone, together in zip(*losses.values(), strict=True):
        assert alone.keys() == together.keys()
        assert max(abs(alone[step] - together[step]) for step in alone) < 5e-6


def test_an_adapter_is_the_same_from_two_processes(tmp_path):
    base = tmp_path / "base"
    talked(base, spec_of(**{**GENTLE, "steps": 4, "loss_on": "answers", "sequence_length": 48}))
    files = []
    for processes in (1, 2):
        root = tmp_path / str(processes)
        spec = adapter_spec(
            lora_dropout=0.0, processes=processes, **{**GENTLE, "steps": 6, "log_every": 1}
        )
        talked(root, spec, base_dir=base / "out", base_name={"model": "crew/base"})
        files.append(load_file(root / "out" / "adapter_model.safetensors"))

    one, two = files
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5


def talked(root, spec, **options):
    """Train on conversations; what was told."""
    files = [[write_rows(root / name, rows)] for name, rows in
             (("train.jsonl", sums(120, 1)), ("validation.jsonl", sums(30, 2)))]  # fmt: skip
    folders = (root / "work", root / "checkpoints", root / "out")
    events = FiledEvents(root / "events.jsonl")
    if spec.processes == 1:
        train(spec, *files, *folders, events, **options)
    else:
        with train_together(spec, *files, *folders, events=events, **options) as ranks:
            ranks.result()
    return recorded(root / "events.jsonl")


def test_each_process_tells_how_it_is(tmp_path):
    _, heard = run(tmp_path, spec_of(2, steps=4, checkpoint_every=0))

    texts = [text for _, text in heard.lines]
    for rank in (0, 1):
        assert any(text.startswith(f"[rank {rank}] step 4  ") for text in texts)
        assert list(heard.series(f"rank_{rank}_step_seconds")) == [1, 2, 3, 4]
        assert all(size > 2**20 for size in heard.series(f"rank_{rank}_memory_bytes").values())
    assert len([1 for _, values in heard.metrics if "loss" in values]) == 4
    steps = [one["step"] for one in heard.progresses if one["stage"] == "training"]
    assert steps == sorted(steps)


def test_a_file_of_parts_has_the_bytes_of_the_format():
    tensors = {"b": torch.randn(3, 5), "a": torch.randn(7), "n": torch.tensor([2]),
               "empty": torch.zeros(0, 3)}  # fmt: skip
    parts = {
        name: Part(tuple(one.shape), one.dtype, lambda one=one: one)
        for name, one in tensors.items()
    }
    made = b"".join(bytes(piece) for piece in Gathered(parts).bytes())

    assert made == save(tensors, metadata={"format": "pt"})
    assert json.loads(made[8 : 8 + int.from_bytes(made[:8], "little")])["a"]["shape"] == [7]
