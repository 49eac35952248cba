"""Folders of n-gram and hidden Markov models: what was saved is read, what does not fit is told."""

import json

import pytest

from tests.workers.lm.families.tiny_ngram import UNITS, save_tiny_ngram
from workers.lm.errors import UnusableModel
from workers.lm.families.markov_folder import MARK, is_markov, load_markov
from workers.lm.tokenizers.saved import save_tokenizer
from workers.lm.tokenizers.word import learn_words

pytestmark = pytest.mark.nodb


@pytest.fixture
def folder(tmp_path):
    return save_tiny_ngram(tmp_path)


def test_reads_what_was_saved(folder):
    loaded = load_markov(folder)

    assert is_markov(folder)
    assert (loaded.family, loaded.units) == ("ngram", UNITS)
    assert loaded.model.vocab_size == len(loaded.tokenizer) == 5


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("{", "cannot be read"),
        (json.dumps({"format": 2, "family": "ngram", "units": {}}), "another format"),
        (json.dumps({"format": 1, "family": "other", "units": {}}), "another format"),
        (json.dumps({"format": 1, "family": "ngram", "units": {"word": 1}}), "cannot be read"),
    ],
)
def test_says_what_is_wrong_with_its_mark(folder, mark, said):
    (folder / MARK).write_text(mark)

    with pytest.raises(UnusableModel, match=said):
        load_markov(folder)


def test_refuses_a_tokenizer_of_another_model(folder):
    save_tokenizer(learn_words(["a b c d e f"], 20), folder)

    with pytest.raises(UnusableModel, match="knows 8 units, the model 5"):
        load_markov(folder)


def test_refuses_links(folder):
    (folder / "more.json").symlink_to(folder / MARK)

    with pytest.raises(UnusableModel, match="link"):
        load_markov(folder)
