"""What n-gram models and hidden Markov models have in common: a language model without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from workers.lm.errors import InvalidWork

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
LogProbs = NDArray[np.float32]


class Reader(Protocol):
    """One text read token by token; a copy of its state is never shared with another reader."""

    def push(self, token: int) -> None:
        """Read one more token. Raises InvalidWork where it is not in the vocabulary."""

    def log_probs(self) -> LogProbs:
        """Natural logarithms of the next token's probabilities, of shape (vocab_size,)."""


class MarkovModel(Protocol):
    """A trained model over token ids 0 … vocab_size - 1.

    Texts come as one flat array of `tokens` and `offsets`, one more than there are sequences and
    rising from 0 to the number of tokens: sequence i is `tokens[offsets[i]:offsets[i + 1]]`.
    """

    @property
    def vocab_size(self) -> int:
        """How many token ids there are."""

    @property
    def context_length(self) -> int | None:
        """How many tokens back the model looks; None: back to the beginning."""

    def score(self, tokens: IntArray, offsets: IntArray) -> FloatArray:
        """Natural logarithm of every token's probability after those before it in its sequence.

        Raises InvalidWork for tokens outside the vocabulary and offsets that do not fit.
        """

    def log_probs(self, context: Sequence[int]) -> LogProbs:
        """Natural logarithms of the probabilities of what follows `context`, (vocab_size,).

        The context is the sequence from its beginning. Tokens beyond `context_length` change
        nothing, but cutting a context to fewer makes its rest look like a beginning.
        """

    def reader(self, context: Sequence[int] = ()) -> Reader:
        """A reader that has read `context`, for asking again after every further token."""

    def save(self, folder: Path) -> None:
        """Write safetensors and JSON into an existing folder."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises UnusableModel with the reason if it cannot be used."""

    def facts(self) -> dict[str, Any]:
        """Plain data that describes the model and how it came about."""


@dataclass(frozen=True)
class Sample:
    """Drawn tokens and the natural logarithm of each one's probability as the model sees it."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


def sample(
    model: MarkovModel,
    length: int,
    *,
    seed: int,
    context: Sequence[int] = (),
    stop: int | None = None,
    temperature: float = 1.0,
) -> Sample:
    """Draw up to `length` tokens that follow the context, ending with `stop` where it is drawn.

    The same seed draws the same tokens. Temperature 0 takes the most probable token.
    """
    if temperature < 0 or not np.isfinite(temperature):
        raise InvalidWork("temperature", f"Must be 0 or more; got {temperature}.")
    generator = np.random.default_rng(seed)
    reader = model.reader(context)
    tokens: list[int] = []
    spent: list[float] = []
    while len(tokens) < length and (not tokens or tokens[-1] != stop):
        logs = reader.log_probs().astype(np.float64)
        token = int(logs.argmax()) if temperature == 0 else _draw(logs / temperature, generator)
        reader.push(token)
        tokens.append(token)
        spent.append(float(logs[token]))
    return Sample(tuple(tokens), tuple(spent))


def _draw(logs: FloatArray, generator: np.random.Generator) -> int:
    heights = np.cumsum(np.exp(logs - logs.max()))
    # The number drawn lies below the last height, for it lies below 1.
    return int(np.searchsorted(heights, generator.random() * heights[-1], side="right"))


def check_sequences(
    tokens: Any, offsets: Any, vocab_size: int, refusal: type[InvalidWork] = InvalidWork
) -> tuple[IntArray, IntArray]:
    """The two as arrays of 64-bit integers. Raises `refusal` naming `tokens` or `offsets`."""
    tokens, offsets = np.asarray(tokens), np.asarray(offsets)
    for name, values in (("tokens", tokens), ("offsets", offsets)):
        if values.ndim != 1 or not (values.size == 0 or np.issubdtype(values.dtype, np.integer)):
            raise refusal(name, "Must be whole numbers in one row.")
    if (
        offsets.size == 0
        or offsets[0] != 0
        or offsets[-1] != tokens.size
        or (offsets[1:] < offsets[:-1]).any()
    ):
        raise refusal(
            "offsets", f"Must rise from 0 to the number of tokens ({tokens.size}), both included."
        )
    if tokens.size and (tokens.min() < 0 or tokens.max() >= vocab_size):
        raise refusal(
            "tokens",
            f"The ids go from {tokens.min()} to {tokens.max()}, but the vocabulary only from 0 to "
            f"{vocab_size - 1}. Use the tokenizer that the model was made with.",
        )
    return tokens.astype(np.int64, copy=False), offsets.astype(np.int64, copy=False)


def check_numbers(
    spec: Any,
    bounds: Mapping[str, tuple[float, float]],
    fractions: frozenset[str],
    refusal: type[InvalidWork],
) -> None:
    """Refuse the first attribute of `spec` that is no number of its kind or out of its bounds."""
    for name, (low, high) in bounds.items():
        value = getattr(spec, name)
        kinds = (int, float) if name in fractions else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise refusal(name, f"Must be a {'number' if name in fractions else 'whole number'}.")
        if not low <= value <= high:  # also refuses NaN
            raise refusal(name, f"Must lie between {low:,} and {high:,}; got {value:,}.")
