"""What scores a text: a model of any family, with the way in which it reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from workers.lm.compute.devices import best_device
from workers.lm.data.documents import pieces
from workers.lm.data.tokenising import lines_of
from workers.lm.errors import InvalidEvaluation, UnusableModel
from workers.lm.evaluation.scoring import Scorer
from workers.lm.families.markov_folder import LoadedMarkov, is_markov, load_markov
from workers.lm.families.transformer import context_of, load_model, move
from workers.lm.tokenizers.saved import end_token, load_tokenizer

_UNLIMITED_CONTEXT = 2048
_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as a model reads it: sentences of token ids, and how many of them count."""

    sentences: Sequence[Sequence[int]]
    tokens: int
    unknown: int


class Judge(Protocol):
    """Gives each text the nats that the model spends on it.

    `length` is how many tokens it sees at once, 0 for all. `lossless` tells whether the text could
    be told again from what was read: only then is it fair to divide by its bytes.
    """

    length: int
    lossless: bool

    def read(self, text: str) -> Reading:
        """Cut a text into tokens."""

    def nats(self, readings: Iterable[Reading], on_batch: Callable[[], None]) -> Iterator[float]:
        """One sum for each reading, in their order; what `on_batch` raises ends it."""


def judge_of(folder: Path, sequence_length: int | None) -> Judge:
    """The judge for a model folder. Raises UnusableModel, InvalidEvaluation for a bad length."""
    if is_markov(folder):
        return MarkovJudge(load_markov(folder), sequence_length)
    return TransformerJudge(folder, sequence_length)


class TransformerJudge:
    """Each document begins after an end-of-text token and is read in overlapping windows."""

    lossless = True

    def __init__(self, folder: Path, sequence_length: int | None) -> None:
        tokenizer = load_tokenizer(folder)
        self._model = load_model(folder)
        if self._model.config.get_text_config().vocab_size < len(tokenizer):
            raise UnusableModel("The tokenizer knows more tokens than the model.")
        self.length = _length(context_of(self._model.config), sequence_length)
        move(self._model, best_device())
        self._backend = tokenizer.backend_tokenizer
        self._end, self._unknown = end_token(tokenizer), tokenizer.unk_token_id

    def read(self, text: str) -> Reading:
        """See `Judge`; its one sentence has an end-of-text token before it."""
        ids = [self._end]
        parts = list(pieces(text))
        for encoding in self._backend.encode_batch_fast(parts, add_special_tokens=False):
            ids.extend(encoding.ids)
        unknown = ids.count(self._unknown) if self._unknown is not None else 0
        return Reading([ids], len(ids) - 1, unknown)

    def nats(self, readings: Iterable[Reading], on_batch: Callable[[], None]) -> Iterator[float]:
        """See `Judge`."""
        scorer = Scorer(self._model, self.length, on_batch)
        return scorer.score(reading.sentences[0] for reading in readings)


class MarkovJudge:
    """Each sentence begins anew; the end of a line counts, as it stands for the new line."""

    def __init__(self, loaded: LoadedMarkov, sequence_length: int | None) -> None:
        if sequence_length is not None:
            said = "This family reads whole sentences. Leave it empty."
            raise InvalidEvaluation("sequence_length", said)
        self.length, self.lossless = 0, loaded.units.lossless
        self._model, self._units = loaded.model, loaded.units
        self._backend = loaded.tokenizer.backend_tokenizer
        self._end, self._unknown = end_token(loaded.tokenizer), loaded.tokenizer.unk_token_id

    def read(self, text: str) -> Reading:
        """See `Judge`."""
        if not self._units.by_line:
            encoded = self._backend.encode_batch_fast(list(pieces(text)), add_special_tokens=False)
            sentences = [[number for encoding in encoded for number in encoding.ids]]
        else:
            encoded = self._backend.encode_batch_fast(lines_of(text), add_special_tokens=False)
            sentences = [[*encoding.ids, self._end] for encoding in encoded]
        unknown = 0
        if self._unknown is not None:
            unknown = sum(ids.count(self._unknown) for ids in sentences)
        return Reading(sentences, sum(map(len, sentences)), unknown)

    def nats(self, readings: Iterable[Reading], on_batch: Callable[[], None]) -> Iterator[float]:
        """See `Judge`."""
        left = iter(readings)
        while some := list(islice(left, _DOCUMENTS_AT_ONCE)):
            sentences = [ids for reading in some for ids in reading.sentences]
            offsets = np.cumsum([0, *map(len, sentences)])
            flat = (number for ids in sentences for number in ids)
            tokens = np.fromiter(flat, dtype=np.int64, count=int(offsets[-1]))
            scores = -self._model.score(tokens, offsets.astype(np.int64))
            ends = np.cumsum([0, *(reading.tokens for reading in some)])
            yield from (float(scores[first:last].sum()) for first, last in pairwise(ends.tolist()))
            on_batch()


def _length(context: int | None, asked: int | None) -> int:
    longest = context or _UNLIMITED_CONTEXT
    if asked is None:
        return min(longest, _UNLIMITED_CONTEXT)
    if not 2 <= asked <= longest:
        raise InvalidEvaluation(
            "sequence_length", f"Must lie between 2 and the model's context of {longest:,} tokens."
        )
    return asked
