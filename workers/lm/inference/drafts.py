"""Guesses of the tokens that come next, checked several at a time by the model that answers.

A guess counts only where it is the very token that the model would have given at that place, with
the random number of that place: answers are those that come without any guesses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from workers.lm.errors import InvalidWork, UnusableModel
from workers.lm.families.markov_folder import is_markov, load_markov
from workers.lm.families.ngram.model import NgramModel

from .errors import ModelRefused
from .sequence import Sequence

#: What guesses from the request itself are called in settings; everything else names a model.
PROMPT = "prompt"
_LONGEST_MATCH, _SHORTEST_MATCH = 4, 2
_HOPE = 0.6
_REST, _LONGEST_REST = 16, 256
_WEIGHT = 0.25


class Guesser(Protocol):
    """Where guesses come from."""

    def guess(self, sequence: Sequence, count: int) -> list[int]:
        """At most `count` tokens that may follow, in order; none where there is no telling."""
        ...


@dataclass(slots=True)
class Pace:
    """How far one sequence is guessed ahead: as long as it pays, and after that rarely.

    `rate` is the share of checked guesses that were right, the recent ones counting most.
    """

    rate: float = _HOPE
    resting: int = 0
    rest: int = _REST
    index: PromptIndex | None = None

    def length(self, most: int, worth: float) -> int:
        """How many tokens to guess, the last of them being right with a chance of `worth`."""
        if self.resting > 0:
            self.resting -= 1
            return 0
        if self.rate <= worth:
            return 1
        return max(1, min(most, int(math.log(worth) / math.log(min(self.rate, 0.99)))))

    def learn(self, guessed: int, right: int, worth: float) -> None:
        """So many were guessed, and so many of them in front were right."""
        checked = min(guessed, right + 1)
        self.rate += _WEIGHT * (right / checked - self.rate)
        if right == guessed:
            self.rest = _REST
        if self.rate < worth:
            self.resting, self.rest = self.rest, min(_LONGEST_REST, 2 * self.rest)
            self.rate = worth  # the next try must do well to be followed by another


class Drafter:
    """Guesses for the sequences of an engine, for each as much as has paid so far."""

    def __init__(self, guesser: Guesser, most: int) -> None:
        self._guesser = guesser
        self._most = most

    def guess(self, sequence: Sequence, room: int, beside: int) -> list[int]:
        """At most `room` tokens; `beside` is how many sequences decode in this step."""
        if room < 1:
            return []
        pace = sequence.pace = sequence.pace or Pace()
        count = pace.length(min(self._most, room), worth(beside))
        return self._guesser.guess(sequence, count) if count else []

    def learn(self, sequence: Sequence, guessed: int, right: int, beside: int) -> None:
        """What the model said to the guesses."""
        if sequence.pace is not None and guessed:
            sequence.pace.learn(guessed, right, worth(beside))


def worth(beside: int) -> float:
    """The chance from which on a guess saves more than its row in the step costs.

    A step of one sequence is mostly the reading of the weights, so a row more is cheap; in a full
    step every row costs its share.
    """
    return 0.3 + 0.4 * min(1.0, (beside - 1) / 15)


@dataclass(slots=True)
class PromptIndex:
    """Where short runs of tokens last stood in a text, kept up as it grows."""

    tokens: list[int] = field(default_factory=list)
    places: dict[tuple[int, ...], int] = field(default_factory=dict)

    def grow(self, new: list[int]) -> None:
        """More tokens; what ends with the very last one is indexed when one more has come."""
        for token in new:
            end = len(self.tokens)
            for size in range(_SHORTEST_MATCH, min(_LONGEST_MATCH, end) + 1):
                self.places[tuple(self.tokens[end - size : end])] = end
            self.tokens.append(token)

    def follow(self, count: int) -> list[int]:
        """What followed the longest run that the text ends with, where it last stood before."""
        for size in range(_LONGEST_MATCH, _SHORTEST_MATCH - 1, -1):
            place = self.places.get(tuple(self.tokens[-size:]))
            if place is not None and len(self.tokens) > size:
                return self.tokens[place : place + count]
        return []


class PromptGuesser:
    """What the request has said before it will say again: quotations, code, lists, tables."""

    def guess(self, sequence: Sequence, count: int) -> list[int]:
        """See `Guesser`."""
        pace = sequence.pace
        if pace is None:
            return []
        index = pace.index = pace.index or PromptIndex()
        have, asked = len(index.tokens), len(sequence.prompt)
        if have < asked:
            index.grow(sequence.prompt[have:])
        index.grow(sequence.tokens[len(index.tokens) - asked :])
        return index.follow(count)


class NgramGuesser:
    """The most likely tokens by an n-gram model over the same vocabulary."""

    def __init__(self, model: NgramModel) -> None:
        self._model = model

    def guess(self, sequence: Sequence, count: int) -> list[int]:
        """See `Guesser`."""
        back = self._model.context_length + 1  # one more, or it would take them for a beginning
        recent = sequence.tokens[-back:]
        if len(recent) < back:
            recent = sequence.prompt[len(recent) - back :] + recent
        guesses: list[int] = []
        try:
            reader = self._model.reader(recent)
            while len(guesses) < count:
                token = reader.likely()
                if token is None:
                    break
                guesses.append(token)
                reader.push(token)
        except InvalidWork:  # tokens that the n-gram model was never shown, such as markers
            return guesses[:-1]
        return guesses


def load_guesser(draft: str, folder: Path | None, tokenizer: PreTrainedTokenizerBase) -> Guesser:
    """The source that the settings name. Raises ModelRefused where it does not fit the model."""
    if draft == PROMPT:
        return PromptGuesser()
    if folder is None or not folder.is_dir() or not is_markov(folder):
        raise ModelRefused(f"The draft {draft} is no n-gram model.")
    try:
        loaded = load_markov(folder)
    except UnusableModel as error:
        raise ModelRefused(f"The draft {draft} cannot be used: {error}") from error
    if not isinstance(loaded.model, NgramModel):
        raise ModelRefused(f"The draft {draft} is no n-gram model.")
    if loaded.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise ModelRefused(
            f"The draft {draft} was made with another tokenizer: its guesses would mean nothing."
        )
    return NgramGuesser(loaded.model)
