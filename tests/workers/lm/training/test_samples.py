"""Texts written at each look: the same weights with and without them, and what stands in them."""

import re

import pytest

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.conversations import answering_spec, run_on
from tests.workers.lm.training.distributed.settings import LLAMA
from tests.workers.lm.training.distributed.settings import run as run_together
from tests.workers.lm.training.settings import ARCHITECTURE, run_training, tiny_spec
from workers.lm.durable import file_digest
from workers.lm.errors import InvalidTraining
from workers.lm.families.transformer import load_model
from workers.lm.tokenizers.saved import load_tokenizer
from workers.lm.training import samples
from workers.lm.training.parallel import Alone
from workers.lm.training.samples import Samples

pytestmark = pytest.mark.nodb

PROMPTS = ["", "The ship", "Old sailors sing of far harbours and of bright stars", "The sea"]


def digests(root, name="out"):
    return {path.name: file_digest(path) for path in sorted((root / name).iterdir())}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root, events = tmp_path_factory.mktemp("samples"), Recorder()
    run_training(root, events, tiny_spec(sample_prompts=PROMPTS, sample_tokens=9))
    return root, events


def test_a_text_for_each_prompt_at_each_look(finished):
    _, events = finished
    assert [(one["step"], one["place"]) for one in events.samples] == [
        (step, place) for step in (0, 5, 10, 15, 20) for place in range(4)
    ]
    assert [one["prompt"] for one in events.samples[:4]] == PROMPTS
    assert len({one["text"] for one in events.samples}) > 10


@pytest.mark.parametrize("changes", [{"sample_prompts": []}, {"sample_prompts": ["a"]}])
def test_nothing_of_the_model_changes_with_the_samples(finished, tmp_path, changes):
    root, _ = finished
    run_training(tmp_path, Recorder(), tiny_spec(**changes))

    assert digests(tmp_path) == digests(root)


def test_a_resumed_training_writes_the_same(finished, tmp_path):
    root, events = finished
    spec = tiny_spec(sample_prompts=PROMPTS, sample_tokens=9)
    again = Recorder()
    run_training(
        tmp_path, again, spec, resume_from=root / "checkpoints" / "step-000010.a1", attempt=2
    )

    assert again.samples == [one for one in events.samples if one["step"] > 10]
    assert digests(tmp_path) == digests(root)


@pytest.mark.parametrize("architecture", [ARCHITECTURE, LLAMA])
def test_the_cache_changes_no_text(tmp_path, architecture):
    spec = tiny_spec(
        architecture=architecture, steps=10, sample_prompts=PROMPTS, sample_tokens=12,
        sequence_length=32,
    )  # fmt: skip
    events, again = Recorder(), Recorder()
    run_training(tmp_path, events, spec)
    model, tokenizer = load_model(tmp_path / "out"), load_tokenizer(tmp_path / "out")
    forward = model.forward

    def forgetful(input_ids, **_):
        return Scores(forward(input_ids=input_ids).logits)

    model.forward = forgetful
    Samples(spec, model, tokenizer, Alone(), again).write(10)

    assert again.samples == [one for one in events.samples if one["step"] == 10]


class Scores:
    """What a model gives that remembers nothing."""

    def __init__(self, logits):
        self.logits = logits


def test_where_answers_are_learned_a_prompt_is_what_a_user_says(tmp_path):
    spec = answering_spec(
        steps=120, evaluate_every=120, learning_rate=2e-2, sample_prompts=["Say 3 and 4."]
    )
    events = Recorder()
    run_on(tmp_path, events, spec)
    before, after = (one["text"] for one in events.samples)

    assert re.fullmatch("[0-9 ]+", after)  # nothing but what stands in answers, and then its end
    assert not re.fullmatch("[0-9 ]+", before)


@pytest.mark.parametrize("way", ["ddp", "fsdp", "tensor"])
def test_several_processes_write_once_and_end_with_the_same_bits(tmp_path, way):
    changes = {"architecture": LLAMA, "steps": 6, "evaluate_every": 3, "dropout": 0.1,
               "processes": 2, "parallel": way, "threads": 1}  # fmt: skip
    with_them, without = tmp_path / "with", tmp_path / "without"
    _, heard = run_together(
        with_them, tiny_spec(**changes, sample_prompts=["The ship"], sample_tokens=6)
    )
    run_together(without, tiny_spec(**changes, sample_prompts=[]))

    assert [one["step"] for one in heard.samples] == [0, 3, 6]
    assert all(one["text"] for one in heard.samples)
    assert digests(with_them) == digests(without)


def test_a_text_that_cannot_be_written_ends_nothing(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no memory for this")

    monkeypatch.setattr(samples, "_draw", broken)
    events = Recorder()
    result = run_training(tmp_path, events, tiny_spec(steps=10))

    warnings = [text for level, text in events.lines if level == "warning"]
    assert result.steps == 10
    assert warnings == [
        "No sample was written, and the training goes on. RuntimeError: no memory for this"
    ]
    assert events.samples == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sample_prompts": ["a"] * 9}, "sample_prompts"),
        ({"sample_prompts": "a"}, "sample_prompts"),
        ({"sample_prompts": ["a" * 1001]}, "sample_prompts"),
        ({"sample_tokens": 0}, "sample_tokens"),
        ({"sample_tokens": 513}, "sample_tokens"),
    ],
)
def test_what_cannot_work_is_refused(changes, field):
    with pytest.raises(InvalidTraining) as refused:
        tiny_spec(**changes).check()
    assert refused.value.field == field
