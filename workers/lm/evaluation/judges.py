"""What scores a text: a model of any family, with the way in which it reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from workers.lm.compute.devices import best_device
from workers.lm.data.documents import pieces
from workers.lm.data.tokenising import lines_of
from workers.lm.errors import InvalidEvaluation, UnusableModel
from workers.lm.evaluation.scoring import Scorer
from workers.lm.families.greedy import end_tokens, greedy
from workers.lm.families.markov import FloatArray, Reader
from workers.lm.families.markov_folder import LoadedMarkov, is_markov, load_markov
from workers.lm.families.transformer import context_of, move
from workers.lm.formats.merged import load_version, tokenizer_folder
from workers.lm.tokenizers.saved import end_token, load_tokenizer

_UNLIMITED_CONTEXT = 2048
_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as a model reads it: sentences of token ids, and how many of them count."""

    sentences: Sequence[Sequence[int]]
    tokens: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Nats of a text that goes on from a prompt, and how many tokens of its own it has."""

    nats: float
    tokens: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote after a prompt, and in how many tokens."""

    text: str
    tokens: int


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

    def continuations(
        self, pairs: Sequence[tuple[str, str]], on_batch: Callable[[], None]
    ) -> list[Spent]:
        """What each text costs after its prompt. Its own are the tokens that the prompt alone does
        not have, so a space at the end of a prompt may belong to the first of them.
        """

    def answer(self, prompt: str, most: int, stop: str) -> Answer:
        """The most likely tokens, at most so many, up to an end token or the text `stop`."""


def judge_of(folder: Path, sequence_length: int | None) -> Judge:
    """The judge for a model folder. Raises UnusableModel, InvalidEvaluation for a bad length."""
    if is_markov(folder):
        return MarkovJudge(load_markov(folder), sequence_length)
    return TransformerJudge(folder, sequence_length)


class TransformerJudge:
    """Each document begins after an end-of-text token and is read in overlapping windows."""

    lossless = True

    def __init__(self, folder: Path, sequence_length: int | None) -> None:
        tokenizer = load_tokenizer(tokenizer_folder(folder))
        self._model = load_version(folder)
        if self._model.config.get_text_config().vocab_size < len(tokenizer):
            raise UnusableModel("The tokenizer knows more tokens than the model.")
        self.length = _length(context_of(self._model.config), sequence_length)
        move(self._model, best_device())
        self._tokenizer, self._backend = tokenizer, tokenizer.backend_tokenizer
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

    def continuations(
        self, pairs: Sequence[tuple[str, str]], on_batch: Callable[[], None]
    ) -> list[Spent]:
        """See `Judge`."""
        wholes = [self.read(prompt + text).sentences[0] for prompt, text in pairs]
        firsts = [
            _shared(self.read(prompt).sentences[0], whole)
            for (prompt, _text), whole in zip(pairs, wholes, strict=True)
        ]
        scorer = Scorer(self._model, self.length, on_batch)
        found = scorer.score_from(zip(wholes, firsts, strict=True))
        return [
            Spent(nats, len(whole) - first, whole[first:].count(self._unknown))
            for nats, whole, first in zip(found, wholes, firsts, strict=True)
        ]

    def answer(self, prompt: str, most: int, stop: str) -> Answer:
        """See `Judge`. Of a prompt that is too long for the context the end is read."""
        if most >= self.length:
            raise InvalidEvaluation(
                "max_tokens", f"Must be below the model's context of {self.length:,} tokens."
            )
        ids = self.read(prompt).sentences[0][most - self.length :]
        ends = end_tokens(self._model, self._end)
        return _written(greedy(self._model, ids), ends, self._tokenizer, most, stop)


class MarkovJudge:
    """Each sentence begins anew; the end of a line counts, as it stands for the new line."""

    def __init__(self, loaded: LoadedMarkov, sequence_length: int | None) -> None:
        if sequence_length is not None:
            said = "This family reads whole sentences. Leave it empty."
            raise InvalidEvaluation("sequence_length", said)
        self.length, self.lossless = 0, loaded.units.lossless
        self._model, self._units, self._tokenizer = loaded.model, loaded.units, loaded.tokenizer
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
            scores = self._scores([ids for reading in some for ids in reading.sentences])
            ends = np.cumsum([0, *(reading.tokens for reading in some)])
            yield from (float(scores[first:last].sum()) for first, last in pairwise(ends.tolist()))
            on_batch()

    def continuations(
        self, pairs: Sequence[tuple[str, str]], on_batch: Callable[[], None]
    ) -> list[Spent]:
        """See `Judge`."""
        found = []
        for prompt, text in pairs:
            sentences = self._open(prompt + text)
            whole = list(chain.from_iterable(sentences))
            first = _shared(list(chain.from_iterable(self._open(prompt))), whole)
            nats = float(self._scores(sentences)[first:].sum())
            found.append(Spent(nats, len(whole) - first, whole[first:].count(self._unknown)))
            on_batch()
        return found

    def answer(self, prompt: str, most: int, stop: str) -> Answer:
        """See `Judge`. Where lines are sentences, only the last line of a prompt matters."""
        tokens = self._steps(self._model.reader(self._open(prompt)[-1]))
        return _written(tokens, {self._end}, self._tokenizer, most, stop)

    def _open(self, text: str) -> list[list[int]]:
        """The sentences of a text that goes on: the last one, which may be empty, has no end."""
        if not self._units.by_line:
            return [list(self.read(text).sentences[0])]
        head, _break, last = text.rpartition("\n")
        begun = self._backend.encode(last, add_special_tokens=False).ids if last.strip() else []
        return [*map(list, self.read(head).sentences), list(begun)]

    def _scores(self, sentences: Sequence[Sequence[int]]) -> FloatArray:
        """Nats of every token of all sentences, in one row."""
        offsets = np.cumsum([0, *map(len, sentences)])
        flat = chain.from_iterable(sentences)
        tokens = np.fromiter(flat, dtype=np.int64, count=int(offsets[-1]))
        return -self._model.score(tokens, offsets.astype(np.int64))

    @staticmethod
    def _steps(reader: Reader) -> Iterator[int]:
        while True:
            token = int(reader.log_probs().argmax())
            yield token
            reader.push(token)


def _shared(before: Sequence[int], whole: Sequence[int]) -> int:
    """How many tokens at the beginning are the same."""
    pairs = zip(before, whole, strict=False)
    return next(
        (n for n, (one, two) in enumerate(pairs) if one != two), min(len(before), len(whole))
    )


def _written(tokens: Iterator[int], ends: set[int], tokenizer: Any, most: int, stop: str) -> Answer:
    found: list[int] = []
    text = ""
    for token in islice(tokens, most):
        if token in ends:
            break
        found.append(token)
        text = str(tokenizer.decode(found, skip_special_tokens=True))
        if stop and stop in text:
            text = text[: text.index(stop)]
            break
    return Answer(text, len(found))


def _length(context: int | None, asked: int | None) -> int:
    longest = context or _UNLIMITED_CONTEXT
    if asked is None:
        return min(longest, _UNLIMITED_CONTEXT)
    if not 2 <= asked <= longest:
        raise InvalidEvaluation(
            "sequence_length", f"Must lie between 2 and the model's context of {longest:,} tokens."
        )
    return asked
