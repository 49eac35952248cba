"""Questions put to small models whose answers are known."""

import json
import math

import numpy as np
import pytest
import torch

from tests.workers.lm.families.test_transformer import tiny_model
from tests.workers.lm.recording import Recorder, sentences, write_documents
from workers.lm.errors import InvalidEvaluation, InvalidWork, Stopped
from workers.lm.evaluation.asking import Asking, ask
from workers.lm.evaluation.judges import judge_of
from workers.lm.families.markov_folder import load_markov
from workers.lm.families.transformer import load_model
from workers.lm.formats import FORMATS
from workers.lm.tokenizers.bytepair import learn_bytepair
from workers.lm.tokenizers.saved import load_tokenizer, save_tokenizer
from workers.lm.training.markov import train_markov

pytestmark = pytest.mark.nodb
CHOICE, EXACT = Asking(task="multiple_choice"), Asking(task="exact_match", max_tokens=1)


def markov(folder, family, texts=("a b a b a b a b",) * 6, **settings):
    """A model of this family that has learnt the texts."""
    file = write_documents(folder / "train.jsonl", texts)
    settings = {"unit": "word", "vocab_size": 20, **settings}
    train_markov(
        family, settings, [file], [file], folder / "work", folder / "checkpoints", folder / "model",
        Recorder(),
    )  # fmt: skip
    return folder / "model"


@pytest.fixture(scope="module")
def alternating(tmp_path_factory):
    """An n-gram model that knows nothing but a b a b."""
    return markov(tmp_path_factory.mktemp("ngram"), "ngram", order=3)


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """A hidden Markov model that knows the same."""
    folder = tmp_path_factory.mktemp("hmm")
    return markov(folder, "hmm", states=3, iterations=60, restarts=3, checkpoint_every=50)


@pytest.fixture(scope="module", params=["safetensors", "int8"])
def transformer(request, tmp_path_factory):
    """An untrained one with its own idea of everything, also with weights of 8 bits."""
    folder = tmp_path_factory.mktemp("transformer")
    tokenizer = learn_bytepair(iter(sentences(50)), 300)
    tiny_model(tokenizer, seed=3).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    if request.param == "safetensors":
        return folder
    small = tmp_path_factory.mktemp("int8")
    FORMATS["int8"].write(folder, small, "int8", Recorder())
    return small


def asked(model, rows, folder, asking=CHOICE, **options):
    """The result, and the rows of its scores."""
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = ask(model, [file], folder / "out", Recorder(), 1, asking, **options)
    return result, [json.loads(line) for line in result.scores_file.read_text().splitlines()]


def choose(prompt, *choices, answer=0):
    return {"prompt": prompt, "choices": list(choices), "answer": answer}


@pytest.mark.parametrize("family", ["alternating", "states"])
def test_what_was_learnt_is_chosen(request, family, tmp_path):
    rows = [choose("a", "b", "a"), choose("a b", "b", "a", answer=1),
            choose("a b a", "a", "b", answer=1), choose("a b a b", "b", "a")]  # fmt: skip

    result, scores = asked(request.getfixturevalue(family), rows, tmp_path)

    assert [row["chosen"] for row in scores] == [0, 1, 1, 1]
    assert [row["correct"] for row in scores] == [1, 1, 1, 0]
    assert (result.documents, result.accuracy, result.accuracy_normalised) == (4, 0.75, 0.75)
    assert result.to_dict()["delimiter"] == " "


@pytest.mark.parametrize("family", ["alternating", "states"])
def test_what_was_learnt_is_written(request, family, tmp_path):
    rows = [{"prompt": "a b a", "answer": "b"}, {"prompt": "a b", "answer": " a\n"},
            {"prompt": "a b", "answer": "b"}]  # fmt: skip

    result, scores = asked(request.getfixturevalue(family), rows, tmp_path, EXACT)

    assert [row["answer"] for row in scores] == ["b", "a", "a"]
    assert [row["correct"] for row in scores] == [1, 1, 0]
    assert result.accuracy == pytest.approx(2 / 3)
    assert "accuracy_normalised" not in result.to_dict()


def test_nats_of_a_choice_are_those_of_its_tokens_after_the_prompt(alternating):
    loaded, judge = load_markov(alternating), judge_of(alternating, None)
    a, b = loaded.tokenizer.convert_tokens_to_ids(["a", "b"])

    one, two = judge.continuations([("a b", " a b"), ("a\na", " b")], lambda: None)

    logs = loaded.model.log_probs
    expected = -(logs([a, b])[a] + logs([a, b, a])[b])
    assert (one.tokens, one.nats) == (2, pytest.approx(float(expected), rel=1e-5))
    assert (two.tokens, two.nats) == (1, pytest.approx(float(-logs([a])[b]), rel=1e-5))


def test_documents_as_sentences_are_read_over_line_breaks(tmp_path):
    folder = markov(tmp_path, "ngram", order=2, unit="char", sentences="document")
    loaded, judge = load_markov(folder), judge_of(folder, None)
    space, b = loaded.tokenizer.backend_tokenizer.encode(" b", add_special_tokens=False).ids

    (spent,) = judge.continuations([("a b a", " b")], lambda: None)

    logs = loaded.model.log_probs
    start = loaded.tokenizer.backend_tokenizer.encode("a b a", add_special_tokens=False).ids
    expected = -(logs(start)[space] + logs([*start, space])[b])
    assert spent.nats == pytest.approx(float(expected), rel=1e-5)


def test_a_transformer_spends_what_the_whole_text_costs_more_than_the_prompt(transformer):
    judge = judge_of(transformer, None)
    pairs = [("The ship", " sails over"), ("Old sailors ", "sing"), ("a", " b c")]

    spent = judge.continuations(pairs, lambda: None)

    for (prompt, text), found in zip(pairs, spent, strict=True):
        before, whole = judge.read(prompt), judge.read(prompt + text)
        parts = list(judge.nats([before, whole], lambda: None))
        if before.sentences[0] == whole.sentences[0][: len(before.sentences[0])]:
            assert found.nats == pytest.approx(parts[1] - parts[0], rel=1e-4)
            assert found.tokens == whole.tokens - before.tokens
        assert found.tokens > 0


def test_of_a_long_prompt_the_end_is_the_context(transformer):
    judge = judge_of(transformer, None)
    prompt = " ".join(sentences(6))
    ids = judge.read(prompt + " stars").sentences[0]
    own = len(ids) - len(judge.read(prompt).sentences[0])

    (spent,) = judge.continuations([(prompt, " stars")], lambda: None)

    seen = torch.tensor([ids[-judge.length - 1 :]])
    with torch.no_grad():
        logs = load_model(transformer)(seen[:, :-1]).logits[0].log_softmax(-1)
    picked = logs[range(len(seen[0]) - 1), seen[0, 1:]][-own:]
    assert (spent.tokens, spent.nats) == (own, pytest.approx(-float(picked.sum()), rel=1e-4))


def test_a_transformer_writes_what_it_finds_most_likely(transformer, tmp_path):
    judge = judge_of(transformer, None)
    ids = list(judge.read("The ship").sentences[0])
    model, written = load_model(transformer).eval(), []
    for _ in range(3):
        with torch.no_grad():
            written.append(int(model(torch.tensor([ids + written])).logits[0, -1].argmax()))
    expected = load_tokenizer(transformer).decode(written)

    rows = [{"prompt": "The ship", "answer": expected}]
    asking = Asking(task="exact_match", max_tokens=3, stop="")
    result, scores = asked(transformer, rows, tmp_path, asking)

    assert scores[0]["answer"] == expected
    assert result.correct == int(bool(expected.strip()))


def test_long_choices_are_weighed_by_their_bytes(tmp_path):
    """Where every token is equally likely, the fewest tokens win, and then the longest ones."""
    tokenizer = learn_bytepair(iter(sentences(50)), 300)
    model = tiny_model(tokenizer)
    with torch.no_grad():
        model.model.embed_tokens.weight.zero_()
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    backend = tokenizer.backend_tokenizer
    size = {text: len(backend.encode(text).ids) for text in (" q", " the ship the ship")}

    result, (row,) = asked(folder, [choose("xx", "q", "the ship the ship", answer=1)], tmp_path)

    assert row["bytes"] == [1, 17]
    assert row["nats"] == pytest.approx([n * math.log(300) for n in size.values()], rel=1e-5)
    assert row["chosen"] == int(np.argmin(list(size.values()))) == 0
    assert row["chosen_normalised"] == 1
    assert (result.accuracy, result.accuracy_normalised) == (0.0, 1.0)


def test_an_answer_ends_with_its_text(alternating, transformer):
    judge = judge_of(alternating, None)

    assert judge.answer("a", 4, "").text == "b a b a"
    assert judge.answer("a", 4, "a").text.strip() == "b"
    with pytest.raises(InvalidEvaluation) as refused:
        judge_of(transformer, None).answer("a", 16, "")
    assert refused.value.field == "max_tokens"


def test_a_choice_that_the_units_cannot_tell_is_refused(tmp_path):
    folder = markov(tmp_path, "ngram", order=2, unit="letter", vocab_size=29)

    with pytest.raises(InvalidEvaluation, match="Choice 1 of question 0"):
        asked(
            folder, [choose("a ", "b", "?")], tmp_path, Asking(task="multiple_choice", delimiter="")
        )


def test_rows_that_are_no_questions_are_named(alternating, tmp_path):
    with pytest.raises(InvalidWork, match=r"Line 2 of questions.jsonl.*choices"):
        asked(alternating, [choose("a", "b", "a"), {"prompt": "a", "answer": 1}], tmp_path)
    with pytest.raises(InvalidWork, match="no questions"):
        asked(alternating, [], tmp_path)


def test_stops_when_asked_and_asks_no_more_than_wanted(alternating, tmp_path):
    rows = [choose("a", "b", "a")] * 5
    result, _scores = asked(alternating, rows, tmp_path, max_documents=2)
    assert result.documents == 2
    file = tmp_path / "questions.jsonl"
    with pytest.raises(Stopped):
        ask(alternating, [file], tmp_path / "w", Recorder(stop_after=0), 1, CHOICE)
    assert not (tmp_path / "w" / "scores.jsonl").exists()
