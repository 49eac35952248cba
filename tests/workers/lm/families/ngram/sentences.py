"""Sentences made by rule and seed: n-grams repeat as in a language, and some words are rare."""

import random

import numpy as np

from workers.lm.families.ngram.spec import Vocabulary

_CONSONANTS, _VOWELS = "bdgklmnprst", "aeiou"
_SYLLABLES = [c + v for c in _CONSONANTS for v in _VOWELS]
WORDS = [*_SYLLABLES, *(one + two for one in _SYLLABLES[:18] for two in _SYLLABLES[:18])]


def make_sentences(seed: int, number: int) -> list[list[str]]:
    """`number` sentences of 1 to 12 words; every word likes a few successors."""
    draw = random.Random(seed)
    sentences = []
    for _ in range(number):
        place = int(draw.paretovariate(0.8)) % len(WORDS)
        sentence = []
        for _ in range(1 + int(draw.random() * 12)):
            sentence.append(WORDS[place])
            likes = (place * 7 + 3) % len(WORDS)
            if draw.random() < 0.6:
                place = (likes + int(draw.random() * 3)) % len(WORDS)
            else:
                place = int(draw.paretovariate(0.8)) % len(WORDS)
        sentences.append(sentence)
    return sentences


# The last sentence ends with a word that comes once: lmplz takes the raw count of the last
# n-gram of each order for its discounts, and here it is no other than the count that it should.
LEARNED = [*make_sentences(11, 400), ["mu", "so", "finis"]]
TESTED = [*make_sentences(12, 7), ["nunquam", *LEARNED[3], "alibi"]]


class Encoded:
    """Sentences as token ids; markers come first, then words as they first appear."""

    def __init__(self, sentences: list[list[str]]) -> None:
        self.ids = {"<unk>": 0, "<s>": 1, "</s>": 2}
        for sentence in sentences:
            for word in sentence:
                self.ids.setdefault(word, len(self.ids))
        self.vocabulary = Vocabulary(size=len(self.ids), begin=1, end=2, unknown=0)

    @property
    def names(self) -> list[str]:
        return list(self.ids)

    def encode(self, sentences: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens, an end after each sentence, and offsets."""
        rows = [[*(self.ids.get(word, 0) for word in sentence), 2] for sentence in sentences]
        offsets = np.cumsum([0, *map(len, rows)])
        return np.concatenate(rows), offsets
