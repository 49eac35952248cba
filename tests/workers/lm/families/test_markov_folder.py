"""A folder is read as the family that it holds."""

import numpy as np
import pytest

from workers.lm.errors import UnusableModel
from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.hmm.spec import HmmSpec
from workers.lm.families.hmm.training import train_hmm
from workers.lm.families.markov_folder import load_markov
from workers.lm.families.ngram.model import NgramModel
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram

pytestmark = pytest.mark.nodb

TEXT = np.array([0, 1, 2, 1, 0, 3, 1, 2]), np.array([0, 3, 8])


@pytest.mark.parametrize(
    ("train", "family"),
    [
        (lambda: train_ngram(NgramSpec(order=2), *TEXT, Vocabulary(size=4)), NgramModel),
        (lambda: train_hmm(HmmSpec(states=2, iterations=3), *TEXT, 4), HmmModel),
    ],
    ids=["ngram", "hmm"],
)
def test_folder_tells_the_family(tmp_path, train, family):
    model = train()
    model.save(tmp_path)
    loaded = load_markov(tmp_path)
    assert type(loaded) is family
    assert np.array_equal(loaded.score(*TEXT), model.score(*TEXT))
    assert loaded.log_probs([0, 1]).shape == (loaded.vocab_size,) == (4,)


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UnusableModel, match=r"neither ngram\.json nor hmm\.json"):
        load_markov(tmp_path)
