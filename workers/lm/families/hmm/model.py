"""A hidden Markov model: states that follow one another unseen, and emit tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from workers.lm.errors import InvalidWork
from workers.lm.families.hmm.chunks import blocks, cut
from workers.lm.families.hmm.files import read_hmm, write_hmm
from workers.lm.families.hmm.parameters import Parameters
from workers.lm.families.hmm.paths import best_paths
from workers.lm.families.hmm.scoring import score
from workers.lm.families.markov import FloatArray, IntArray, LogProbs, check_sequences


class HmmModel:
    """Probabilities of the next token by what is believed of the state.

    `record` is plain data about how the model came about, kept with it.
    """

    def __init__(self, parameters: Parameters, record: dict[str, Any]) -> None:
        self.parameters = parameters
        self.record = record

    @property
    def vocab_size(self) -> int:
        """How many token ids there are."""
        return self.parameters.vocab_size

    @property
    def context_length(self) -> None:
        """The model looks back to the beginning."""
        return None

    def score(self, tokens: IntArray, offsets: IntArray) -> FloatArray:
        """Natural logarithm of every token's probability after those before it in its sequence.

        Raises InvalidWork for tokens outside the vocabulary and offsets that do not fit.
        """
        tokens, offsets = check_sequences(tokens, offsets, self.vocab_size)
        return score(tokens, offsets, self.parameters)

    def states(self, tokens: IntArray, offsets: IntArray) -> IntArray:
        """The state of every token on the most probable path through each whole sequence."""
        tokens, offsets = check_sequences(tokens, offsets, self.vocab_size)
        states = np.empty(tokens.size, np.int64)
        width = self.parameters.states**2
        for block in blocks(tokens, *cut(offsets, None), width):
            there = np.arange(block.alive.size)[:, np.newaxis] < block.lengths
            states[block.places[there]] = best_paths(block, self.parameters)[there]
        return states

    def log_probs(self, context: Sequence[int]) -> LogProbs:
        """Natural logarithms of the probabilities of what follows, of shape (vocab_size,)."""
        return self.reader(context).log_probs()

    def reader(self, context: Sequence[int] = ()) -> "HmmReader":
        """A reader that has read `context` from the beginning of a sequence."""
        reader = HmmReader(self.parameters)
        for token in context:
            reader.push(int(token))
        return reader

    def facts(self) -> dict[str, Any]:
        """Numbers of states and tokens, size in bytes, and the record of how it came about."""
        parameters = self.parameters
        arrays = (parameters.start, parameters.transitions, parameters.emissions)
        return {
            **self.record,
            "family": "hmm",
            "states": parameters.states,
            "vocab_size": self.vocab_size,
            "bytes": sum(array.nbytes for array in arrays),
        }

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `hmm.json` into an existing folder."""
        write_hmm(folder, self.parameters, self.record)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises UnusableModel with the reason if it cannot be used."""
        return cls(*read_hmm(folder))


class HmmReader:
    """What is believed of the next token's state, by all that was read."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._belief = parameters.start

    def push(self, token: int) -> None:
        """Read one more token. Raises InvalidWork where it is not in the vocabulary."""
        parameters = self._parameters
        if not 0 <= token < parameters.vocab_size:
            raise InvalidWork("tokens", f"There is no token {token}.")
        belief = self._belief * parameters.emissions[:, token]
        self._belief = (belief / belief.sum()) @ parameters.transitions

    def log_probs(self) -> LogProbs:
        """Natural logarithms of the next token's probabilities, of shape (vocab_size,)."""
        return np.log(self._belief @ self._parameters.emissions).astype(np.float32)
