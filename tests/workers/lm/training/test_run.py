"""A whole training: what it tells, what it leaves, what it refuses."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.workers.lm.recording import Recorder, sentences, write_documents
from tests.workers.lm.training.settings import run_training, tiny_spec
from workers.lm.durable import file_digest
from workers.lm.errors import InvalidTraining, TrainingDiverged
from workers.lm.training import fitting
from workers.lm.training.run import train

pytestmark = pytest.mark.nodb


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root, events = tmp_path_factory.mktemp("run"), Recorder()
    result = run_training(root, events, tiny_spec(steps=60, warmup_steps=5, checkpoint_every=20))
    return root, events, result


def test_it_learns_more_than_the_frequencies_of_tokens(finished):
    _, events, result = finished
    assert result.unigram_entropy == events.series("unigram_entropy")[0]
    assert result.validation_loss < 0.9 * result.unigram_entropy
    losses = events.series("validation_loss")
    assert list(losses) == list(range(0, 61, 5))
    assert losses[0] == pytest.approx(math.log(result.vocab_size), abs=0.3)
    assert result.validation_loss == losses[60]
    assert result.best_validation_loss == min(losses.values())
    assert losses[result.best_step] == result.best_validation_loss


def test_it_tells_its_course(finished):
    _, events, _ = finished
    assert events.stages == ["preparing", "tokenizing", "training", "saving"]
    assert list(events.series("loss")) == list(range(1, 61))
    for name in ("learning_rate", "gradient_norm", "tokens_per_second", "memory_bytes"):
        assert all(value > 0 for value in events.series(name).values())
    last = events.progresses[-1]
    assert (last["step"], last["total"], last["percent"]) == (60, 60, 100.0)
    halfway = next(one for one in events.progresses if one["step"] == 30)
    assert halfway["eta_s"] > 0


def test_the_output_is_a_model_folder(finished):
    root, _, result = finished
    folder = root / "out"
    assert set(result.files) == {path.name for path in folder.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "training.json",
    }  # fmt: skip
    for name, facts in result.files.items():
        assert file_digest(folder / name) == facts["sha256"]
        assert (folder / name).stat().st_size == facts["size"]
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size == result.vocab_size
    text = tokenizer("The ship", return_tensors="pt")
    answer = model.generate(**text, max_new_tokens=4, do_sample=False)
    assert tokenizer.decode(answer[0]).startswith("The ship")
    assert tokenizer.model_max_length == 16
    facts = json.loads((folder / "training.json").read_text())
    assert facts["result"]["validation_loss"] == result.validation_loss
    assert facts["spec"]["seed"] == 1337
    assert "seconds" not in facts["result"]
    json.dumps(result.to_dict())


def test_the_last_checkpoints_are_told_and_kept(finished):
    root, events, _ = finished
    assert [one["step"] for one in events.checkpoints] == [20, 40, 60]
    assert {path.name for path in (root / "checkpoints").iterdir()} == {
        f"step-{step:06d}.a1" for step in (20, 40, 60)
    }
    AutoModelForCausalLM.from_pretrained(events.checkpoints[0]["path"])


def test_parts_of_a_batch_give_the_result_of_the_whole(tmp_path):
    whole, parts = Recorder(), Recorder()
    changes = {"dropout": 0.0, "steps": 5, "checkpoint_every": 0}
    run_training(tmp_path, whole, tiny_spec(**changes))
    run_training(tmp_path, parts, tiny_spec(**changes, gradient_accumulation=4))
    for step, loss in whole.series("loss").items():
        assert parts.series("loss")[step] == pytest.approx(loss, abs=5e-6)


def test_a_base_version_is_trained_on(finished, tmp_path):
    root, _, result = finished
    events = Recorder()
    spec = tiny_spec(architecture=None, tokenizer="base", steps=5, checkpoint_every=0)
    more = run_training(tmp_path, events, spec, base_dir=root / "out")
    assert events.series("validation_loss")[0] == pytest.approx(result.validation_loss, abs=1e-4)
    assert more.vocab_size == result.vocab_size
    longer = tiny_spec(architecture=None, tokenizer="base", sequence_length=32)
    with pytest.raises(InvalidTraining, match="reads only 16") as caught:
        run_training(tmp_path, Recorder(), longer, base_dir=root / "out")
    assert caught.value.field == "sequence_length"


def test_conversations_give_a_chat_template(tmp_path):
    talks = [f"<|user|>{one}<|assistant|>{one.upper()}" for one in sentences(100)]
    file = write_documents(tmp_path / "chat.jsonl", talks)
    spec = tiny_spec(steps=3, warmup_steps=0, checkpoint_every=0, evaluate_every=0)
    result = train(spec, [file], [file], tmp_path / "w", tmp_path / "c", tmp_path / "o", Recorder())
    assert "chat_template.jinja" in result.files
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "o")
    asked = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(
        asked, tokenize=False, add_generation_prompt=True
    ) == "<|user|>Hi<|assistant|>"  # fmt: skip


def test_characters_train_too(tmp_path):
    result = run_training(
        tmp_path, Recorder(), tiny_spec(tokenizer="char", steps=5, precision="bf16")
    )
    assert result.vocab_size < 40
    assert torch.isfinite(torch.tensor(result.validation_loss))


def test_divergence_names_the_step_and_saves_nothing(tmp_path):
    events = Recorder()
    spec = tiny_spec(
        learning_rate=10.0, min_learning_rate=10.0, schedule="constant", gradient_clip=0.0,
        weight_decay=10.0, warmup_steps=0, steps=4000, evaluate_every=0, checkpoint_every=0,
        log_every=50,
    )  # fmt: skip
    with pytest.raises(TrainingDiverged, match="Lower learning_rate") as caught:
        run_training(tmp_path, events, spec)
    assert 1 <= caught.value.step < 4000
    assert not (tmp_path / "out").exists()
    assert events.checkpoints == []


@pytest.mark.parametrize(
    ("train_texts", "validation_texts", "changes", "field"),
    [
        ([], ["words"], {}, "dataset"),
        (["words " * 50], [], {}, "dataset"),
        (["words " * 50], [""], {"vocab_size": 270}, "dataset"),
        (["short"], ["words"], {"sequence_length": 100, "tokenizer": "char"}, "sequence_length"),
        (["too short"] * 3, ["w"], {"sequence_length": 40, "tokenizer": "char"}, "sequence_length"),
        (["words"], ["words"], {"vocab_size": 5000}, "vocab_size"),
        (["words"], ["words"], {"vocab_size": 100}, "vocab_size"),
    ],
)
def test_data_that_cannot_be_enough_is_refused(
    tmp_path, train_texts, validation_texts, changes, field
):
    train_file = write_documents(tmp_path / "t.jsonl", train_texts)
    validation_file = write_documents(tmp_path / "v.jsonl", validation_texts)
    with pytest.raises(InvalidTraining) as caught:
        train(
            tiny_spec(**changes), [train_file], [validation_file], tmp_path / "w",
            tmp_path / "c", tmp_path / "o", Recorder(),
        )  # fmt: skip
    assert caught.value.field == field
    assert not (tmp_path / "o").exists()


def test_too_little_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "available_bytes", lambda: 2**20)
    with pytest.raises(InvalidTraining, match="smaller model") as caught:
        run_training(tmp_path, Recorder())
    assert caught.value.field == "preset"
    monkeypatch.setattr(fitting, "available_bytes", lambda: 800 * 2**20)
    with pytest.raises(InvalidTraining, match="Lower batch_size") as caught:
        run_training(tmp_path, Recorder(), tiny_spec(batch_size=4096))
    assert caught.value.field == "batch_size"
