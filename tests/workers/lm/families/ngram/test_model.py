"""What an n-gram model says of texts, by every way of asking, and that it survives the disk."""

import itertools
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.workers.lm.families.ngram.sentences import LEARNED, TESTED, Encoded
from workers.lm.errors import InvalidWork, UnusableModel
from workers.lm.families.markov import sample
from workers.lm.families.ngram.model import NgramModel
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram

pytestmark = pytest.mark.nodb

TEXT = Encoded(LEARNED)
#: Without any marker of its own: the same ids, all of them tokens.
PLAIN = Vocabulary(size=TEXT.vocabulary.size)


def learn(order, prune=(), vocabulary=TEXT.vocabulary):
    spec = NgramSpec(order=order, prune=prune)
    return train_ngram(spec, *TEXT.encode(LEARNED), vocabulary)


@pytest.fixture(scope="module")
def model():
    return learn(4)


@pytest.mark.parametrize("order", [1, 2, 5, 10])
@pytest.mark.parametrize("prune", [(), (0, 0, 1), (0, 2)])
@pytest.mark.parametrize("vocabulary", [TEXT.vocabulary, PLAIN], ids=["markers", "plain"])
def test_every_way_of_asking_agrees_and_adds_up_to_one(order, prune, vocabulary):
    model = learn(order, prune[:order], vocabulary)
    tokens, offsets = TEXT.encode(TESTED)
    logs = model.score(tokens, offsets)
    contexts = [
        tokens[begin:place].tolist()
        for begin, end in itertools.pairwise(offsets)
        for place in range(begin, end)
    ]
    rows = model.log_probs_batch(contexts)
    assert rows.dtype == np.float32
    assert np.exp(rows, dtype=float).sum(axis=1) == pytest.approx(1, abs=2e-6)
    assert rows[np.arange(tokens.size), tokens] == pytest.approx(logs, rel=1e-5, abs=1e-6)
    for context, row in zip(contexts, rows, strict=True):
        assert model.log_probs(context).tobytes() == row.tobytes()
        recent = context[-order:] if len(context) > order else context
        assert model.log_probs(recent).tobytes() == row.tobytes()
    reader = model.reader(contexts[5])
    for token in (3, 4, 2, 7):
        reader.push(token)
    assert reader.log_probs().tobytes() == model.log_probs([*contexts[5], 3, 4, 2, 7]).tobytes()
    assert (model.context_length, model.vocab_size) == (order - 1, TEXT.vocabulary.size)


def test_begin_marker_never_follows(model):
    assert model.log_probs([])[1] == -np.inf
    assert np.isfinite(np.delete(model.log_probs([5, 6]), 1)).all()
    with pytest.raises(InvalidWork, match=r"^tokens: The begin marker"):
        model.score(np.array([5, 1]), np.array([0, 2]))
    with pytest.raises(InvalidWork, match=r"^tokens: There is no token 1"):
        model.log_probs([1])


def test_what_follows_an_end_begins_anew(model):
    tokens, offsets = TEXT.encode(TESTED)
    at_once = np.array([0, tokens.size])
    assert np.array_equal(model.score(tokens, at_once), model.score(tokens, offsets))
    assert np.array_equal(model.log_probs([5, 6, 2]), model.log_probs([]))
    assert np.array_equal(model.log_probs([5, 6, 2, 9]), model.log_probs([9]))
    learned = TEXT.encode(LEARNED)
    again = train_ngram(
        NgramSpec(order=4), learned[0], np.array([0, len(learned[0])]), TEXT.vocabulary
    )
    assert np.array_equal(again.score(tokens, offsets), model.score(tokens, offsets))
    assert again.facts() == model.facts()


def test_order_of_sentences_changes_nothing(model):
    backwards = train_ngram(NgramSpec(order=4), *TEXT.encode(LEARNED[::-1]), TEXT.vocabulary)
    for one, other in zip(model.orders, backwards.orders, strict=True):
        assert np.array_equal(one.keys, other.keys)
        assert one.log_probs == pytest.approx(other.log_probs, rel=1e-6)


def test_empty_text_is_scored_as_nothing(model):
    assert model.score(np.array([], int), np.array([0])).shape == (0,)
    assert model.score(np.array([], int), np.array([0, 0, 0])).shape == (0,)
    tokens, offsets = TEXT.encode(TESTED)
    with_empty = np.repeat(offsets, 2)
    assert np.array_equal(model.score(tokens, with_empty), model.score(tokens, offsets))


def test_samples_follow_the_seed_and_the_model(model):
    one, same, other = (sample(model, 400, seed=seed, stop=2) for seed in (4, 4, 5))
    assert one == same != other
    assert one.tokens[-1] == 2
    assert 2 not in one.tokens[:-1]
    logs = model.score(np.array(one.tokens), np.array([0, len(one.tokens)]))
    assert np.array(one.log_probs) == pytest.approx(logs, abs=1e-5)
    greedy = sample(model, 5, seed=1, temperature=0, context=one.tokens[:2])
    assert greedy.tokens[0] == int(model.log_probs(one.tokens[:2]).argmax())
    with pytest.raises(InvalidWork, match="temperature"):
        sample(model, 5, seed=1, temperature=-1)


def test_samples_are_as_frequent_as_the_model_says(model):
    first = [sample(model, 1, seed=seed).tokens[0] for seed in range(3000)]
    found = np.bincount(first, minlength=model.vocab_size) / 3000
    expected = np.exp(model.log_probs([]))
    assert found == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 3000))


def test_saved_model_scores_with_the_same_bits(model, tmp_path):
    model.save(tmp_path)
    loaded = NgramModel.load(tmp_path)
    text = TEXT.encode(TESTED)
    assert loaded.score(*text).tobytes() == model.score(*text).tobytes()
    assert loaded.log_probs([5, 6]).tobytes() == model.log_probs([5, 6]).tobytes()
    assert loaded.vocabulary == model.vocabulary
    assert json.loads(json.dumps(model.facts())) == json.loads(json.dumps(loaded.facts()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "ngram.json"]


def damage_json(**changes):
    def damage(folder):
        path = folder / "ngram.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def damage_array(name, change):
    def damage(folder):
        arrays = load_file(folder / "model.safetensors")
        arrays[name] = change(arrays[name].copy())
        save_file(arrays, folder / "model.safetensors")

    return damage


def one_nan(array):
    array[3] = np.nan
    return array


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "ngram.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"12"), "cannot be read"),
        (damage_json(family="hmm"), "another family"),
        (damage_json(format=2), "another family or a newer format"),
        (damage_json(order=5), "no row 5.keys"),
        (damage_json(order=3), "3-grams have numbers missing or left over"),
        (damage_json(order="4"), "names an order of '4'"),
        (damage_json(vocabulary={"size": 9, "begin": 1}), "not those of the vocabulary"),
        (damage_json(vocabulary={"size": 9, "begin": 9}), "cannot be read"),
        (damage_array("2.keys", lambda keys: keys[::-1]), "2-grams have no|2-grams are not"),
        (damage_array("3.keys", lambda keys: keys + 10**9), "3-grams have no beginning"),
        (damage_array("3.keys", lambda keys: keys - 10**9), "3-grams have no beginning"),
        (damage_array("2.keys", lambda keys: keys * 0 + keys[0]), "2-grams are not in order"),
        (damage_array("2.keys", lambda keys: keys.astype(np.int32)), "no row 2.keys of int64"),
        (damage_array("2.log_probs", lambda logs: -logs), "2-grams have no probability"),
        (damage_array("1.log_probs", one_nan), "1-grams have no probability"),
        (damage_array("2.back_offs", one_nan), "2-grams have a weight"),
        (damage_array("2.log_probs", lambda logs: logs[1:]), "numbers missing"),
    ],
)
def test_damaged_model_is_refused_with_the_reason(model, tmp_path, damage, reason):
    model.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UnusableModel, match=reason):
        NgramModel.load(tmp_path)
