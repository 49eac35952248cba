"""What n-gram training is told, tells, and refuses."""

import json

import numpy as np
import pytest

from tests.workers.lm.families.ngram.sentences import LEARNED, Encoded
from workers.lm.errors import InvalidTraining
from workers.lm.families.ngram import counting
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram

pytestmark = pytest.mark.nodb

TEXT = Encoded(LEARNED)


def test_facts_tell_sizes_counts_and_discounts():
    tokens, offsets = TEXT.encode(LEARNED)
    facts = train_ngram(
        NgramSpec(order=3, prune=(0, 0, 1)), tokens, offsets, TEXT.vocabulary
    ).facts()
    assert facts["tokens"] == len(tokens)
    assert facts["sequences"] == len(LEARNED)
    pairs = {
        pair
        for sentence in LEARNED
        for pair in zip(["<s>", *sentence], [*sentence, "</s>"], strict=True)
    }
    assert facts["ngrams"][:2] == [TEXT.vocabulary.size, len(pairs)]
    assert facts["ngrams"][2] < facts["ngrams_seen"][2]
    assert facts["training"] == {
        "order": 3, "prune": [0, 0, 1], "discount_fallback": (0.5, 1.0, 1.5),
    }  # fmt: skip
    assert len(facts["discounts"]) == 3
    assert facts["warnings"] == []
    json.dumps(facts)


def test_each_order_is_announced_and_can_be_the_last():
    told = []
    spec = NgramSpec(order=4)
    train_ngram(spec, *TEXT.encode(LEARNED), TEXT.vocabulary, told.append)
    assert told == [1, 2, 3, 4]

    def stop(order):
        if order == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_ngram(spec, *TEXT.encode(LEARNED), TEXT.vocabulary, stop)


def test_text_without_rare_words_takes_the_fallback_and_says_so():
    tokens = np.tile([3, 4, 5, 2], 50)
    offsets = np.arange(0, 201, 4)
    vocabulary = Vocabulary(size=6, begin=1, end=2, unknown=0)
    facts = train_ngram(NgramSpec(order=2), tokens, offsets, vocabulary).facts()
    assert facts["discounts"] == [[0.5, 1.0, 1.5], [0.5, 1.0, 1.5]]
    assert [warning[:28] for warning in facts["warnings"]] == [
        "Discounts for 1-grams were t", "Discounts for 2-grams were t",
    ]  # fmt: skip
    with pytest.raises(InvalidTraining, match=r"discount_fallback: .* no 1-gram counts 2, 3"):
        train_ngram(NgramSpec(order=2, discount_fallback=None), tokens, offsets, vocabulary)


def test_sentences_shorter_than_the_order_do():
    vocabulary = Vocabulary(size=5, begin=1, end=2, unknown=0)
    model = train_ngram(NgramSpec(order=6), np.array([3, 2, 4, 2]), np.array([0, 2, 4]), vocabulary)
    assert model.facts()["ngrams"] == [5, 4, 2, 0, 0, 0]
    assert np.exp(model.log_probs([3]), dtype=float).sum() == pytest.approx(1)
    assert model.log_probs([3]).argmax() == 2


def test_unknown_tokens_in_the_text_are_learned_like_others():
    vocabulary = Vocabulary(size=5, begin=1, end=2, unknown=0)
    tokens, offsets = np.array([3, 0, 4, 2] * 4), np.arange(0, 17, 4)
    model = train_ngram(NgramSpec(order=2), tokens, offsets, vocabulary)
    assert model.log_probs([3]).argmax() == 0


def test_more_ngrams_than_can_be_numbered_are_refused(monkeypatch):
    monkeypatch.setattr(counting, "_LARGEST_KEY", 100_000)
    with pytest.raises(InvalidTraining, match=r"order: .* are too many to be numbered; choose 2"):
        train_ngram(NgramSpec(order=5), *TEXT.encode(LEARNED), TEXT.vocabulary)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"order": 0}, "order"), ({"order": 11}, "order"), ({"order": 2.0}, "order"),
        ({"order": "3"}, "order"), ({"prune": [1]}, "prune"), ({"prune": [0, 2, 1]}, "prune"),
        ({"prune": [0, -1]}, "prune"), ({"prune": [0, 1.5]}, "prune"), ({"prune": 3}, "prune"),
        ({"order": 2, "prune": [0, 1, 1]}, "prune"), ({"prun": [0]}, "prun"),
        ({"discount_fallback": [0.5, 1]}, "discount_fallback"),
        ({"discount_fallback": [0.5, 2.5, 1]}, "discount_fallback"),
        ({"discount_fallback": [0.0, 1.0, 1.0]}, "discount_fallback"),
        ({"discount_fallback": 0.5}, "discount_fallback"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(changes, field):
    with pytest.raises(InvalidTraining) as refused:
        NgramSpec.from_dict(changes).check()
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("vocabulary", "field"),
    [
        ({"size": 0}, "size"), ({"size": 5, "begin": 5}, "begin"), ({"size": 5, "end": -1}, "end"),
        ({"size": 5, "begin": 1, "end": 1}, "end"), ({"size": 5, "unknown": True}, "unknown"),
        ({"size": 5, "begin": 3}, "tokens"), ({"size": 3}, "tokens"),
    ],
)  # fmt: skip
def test_vocabulary_that_does_not_fit_is_refused(vocabulary, field):
    with pytest.raises(InvalidTraining) as refused:
        train_ngram(
            NgramSpec(order=2), np.array([3, 4]), np.array([0, 2]), Vocabulary(**vocabulary)
        )
    assert refused.value.field == field


def test_no_tokens_are_refused():
    with pytest.raises(InvalidTraining, match="tokens: There is nothing to learn from"):
        train_ngram(NgramSpec(), np.array([], int), np.array([0, 0]), Vocabulary(size=3))


def test_settings_survive_plain_data():
    spec = NgramSpec(order=3, prune=(0, 1), discount_fallback=(0.4, 0.9, 1.2))
    assert NgramSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
