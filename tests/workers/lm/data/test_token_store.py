"""Figures of a token store."""

import math

import numpy as np
import pytest

from workers.lm.data.token_store import TokenStore, open_store

pytestmark = pytest.mark.nodb


def test_unigram_entropy_is_that_of_the_frequencies():
    store = TokenStore(np.array([0, 0, 1, 2], np.uint16), np.array([0, 4]), "x", 0)
    assert store.unigram_entropy(5) == pytest.approx(1.5 * math.log(2))
    assert store.counts(5).tolist() == [2, 1, 1, 0, 0]
    same = TokenStore(np.zeros(9, np.uint16), np.array([0, 9]), "x", 0)
    assert same.unigram_entropy(5) == 0.0


def test_what_is_not_a_store_is_none(tmp_path):
    assert open_store(tmp_path) is None
    (tmp_path / "facts.json").write_text("{}")
    assert open_store(tmp_path) is None
