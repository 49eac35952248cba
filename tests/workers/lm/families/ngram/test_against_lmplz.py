"""Probabilities, discounts and numbers of n-grams are those of KenLM, with and without pruning."""

import json
import math

import numpy as np
import pytest

from tests.workers.lm.families.ngram.record_lmplz import RECORDED
from tests.workers.lm.families.ngram.sentences import LEARNED, TESTED, Encoded
from workers.lm.families.ngram.spec import NgramSpec
from workers.lm.families.ngram.training import train_ngram

pytestmark = pytest.mark.nodb

CASES = json.loads(RECORDED.read_text())


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['order']}-grams, pruned {case['prune']}"
)
def test_model_is_that_of_lmplz(case):
    text = Encoded(LEARNED)
    spec = NgramSpec(order=case["order"], prune=tuple(case["prune"]))
    model = train_ngram(spec, *text.encode(LEARNED), text.vocabulary)
    facts = model.facts()
    assert facts["ngrams"] == case["counts"]
    assert len(facts["warnings"]) == len(case["fallback"])
    for own, theirs in zip(facts["discounts"], case["discounts"], strict=True):
        assert own == pytest.approx(theirs, rel=6e-6)  # printed with six digits
    scores = model.score(*text.encode(TESTED)) / math.log(10)
    assert scores == pytest.approx(np.array(case["scores"]), abs=2e-6)
    perplexities = 10 ** -scores.mean(), 10 ** -np.mean(case["scores"])
    assert perplexities[0] == pytest.approx(perplexities[1], rel=5e-7)
