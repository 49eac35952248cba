"""A folder of a tiny n-gram model, as a training would have left it."""

import numpy as np

from workers.lm.families.markov_folder import save_markov
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram
from workers.lm.tokenizers.saved import save_tokenizer
from workers.lm.tokenizers.units import Units
from workers.lm.tokenizers.word import learn_words

UNITS = Units(unit="word", sentences="line")


def save_tiny_ngram(folder):
    """Two sentences of words; gives the folder back."""
    tokenizer = learn_words(["a b c", "a b"], 10)
    ids = [*tokenizer("a b c")["input_ids"], 0, *tokenizer("a b")["input_ids"], 0]
    vocabulary = Vocabulary(size=len(tokenizer), end=0, unknown=1)
    model = train_ngram(NgramSpec(order=2), np.array(ids), np.array([0, 4, 7]), vocabulary)
    save_markov(folder, "ngram", UNITS, model)
    save_tokenizer(tokenizer, folder)
    return folder
