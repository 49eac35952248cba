"""Trainings whose loss is on answers only."""

import json

import pytest
import torch

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.conversations import answering_spec, run_on, sums
from workers.lm.data.answer_batches import AnswerBatches
from workers.lm.data.answers import tokenise_answers
from workers.lm.errors import InvalidTraining
from workers.lm.families.transformer import load_model
from workers.lm.tokenizers.saved import load_tokenizer
from workers.lm.training.losses import batch_loss

pytestmark = pytest.mark.nodb


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    root, events = tmp_path_factory.mktemp("answers"), Recorder()
    result = run_on(root, events, answering_spec(steps=120, dropout=0.0))
    return root, result, events


def test_it_learns_the_answers_and_nothing_of_the_questions(answered):
    root, result, events = answered

    assert result.validation_loss < 1.5 < events.series("validation_loss")[0]
    assert (root / "out" / "chat_template.jinja").is_file()
    assert json.loads((root / "out" / "training.json").read_text())["spec"]["loss_on"] == "answers"
    model, tokenizer = load_model(root / "out"), load_tokenizer(root / "out")
    text = tokenizer.apply_chat_template(
        sums(1, 9)[0]["messages"][:2], tokenize=False, add_generation_prompt=True
    )
    ids = torch.tensor([tokenizer(text).input_ids])
    with torch.no_grad():
        logits = model(ids).logits[0]
    # What was never a target is no better known than by chance.
    asked = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])
    assert float(asked) > result.validation_loss + 2


def test_parts_of_a_batch_add_up_to_the_mean_over_all_that_counts(answered, tmp_path):
    root, _, _ = answered
    model, tokenizer = load_model(root / "out"), load_tokenizer(root / "out")
    store = tokenise_answers([root / "train.jsonl"], tokenizer, tmp_path)
    batches = AnswerBatches(store, 48, 6, 5)
    inputs, targets = batches.batch(3)
    # One row counts far less than the others: a mean of means would be another number.
    targets[0, :-3] = -100
    counted = int((targets != -100).sum())

    whole = float(batch_loss(model, (inputs, targets)).detach())
    parts = [
        batch_loss(model, (inputs[i : i + 2], targets[i : i + 2]), "fp32", counted)
        for i in range(0, 6, 2)
    ]

    assert float(sum(parts).detach()) == pytest.approx(whole, rel=1e-6)


def test_gradient_accumulation_does_not_change_the_losses(tmp_path):
    losses = []
    for parts in (1, 4):
        events = Recorder()
        spec = answering_spec(gradient_accumulation=parts, dropout=0.0, steps=6)
        run_on(tmp_path / str(parts), events, spec)
        losses.append(list(events.series("loss").values()))

    assert losses[0] == pytest.approx(losses[1], abs=5e-6)


def test_a_conversation_at_a_time_takes_each_once_an_epoch(tmp_path):
    spec = answering_spec(sampling="documents", steps=5, warmup_steps=1)

    result = run_on(tmp_path, Recorder(), spec, sums(40, 4))

    assert result.steps == 5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tokenizer": "char", "vocab_size": 60}, "tokenizer"),
        ({"loss_on": "all", "sampling": "documents"}, "sampling"),
        ({"loss_on": "words"}, "loss_on"),
        ({"lora_rank": 4}, "lora_rank"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, changes, field):
    with pytest.raises(InvalidTraining) as refused:
        run_on(tmp_path, Recorder(), answering_spec(**changes))

    assert refused.value.field == field


def test_a_sequence_that_no_answer_fits_into_is_refused(tmp_path):
    with pytest.raises(InvalidTraining, match="No answer of an assistant lies within"):
        run_on(tmp_path, Recorder(), answering_spec(sequence_length=4, sampling="documents"))
