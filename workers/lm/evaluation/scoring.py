"""The nats that a model spends on every document, over windows that overlap by half."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel

# Scores of the vocabulary held at once; 64 Mi floats are 256 MiB. A processor gains nothing from
# more tokens at once than it can keep in its caches.
_SCORES_AT_ONCE = 64 * 2**20
_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65_536}
_IGNORED = -100
_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens that go through the model together, and the place from which they are counted."""

    document: int
    tokens: Sequence[int]
    counted_from: int


def windows_of(
    document: int, tokens: Sequence[int], length: int, first: int = 1
) -> Iterator[Window]:
    """Cover a document so that each token from the one numbered `first` on counts once.

    All but the first window begin half a length earlier than what they count, so that no token
    is judged without its context. What fits into one window has as much context as that can hold.
    """
    if first > 1 and len(tokens) - first < length:
        start = max(0, len(tokens) - length - 1)
        yield Window(document, tokens[start:], first - start)
        return
    step = max(1, length // 2)
    counted = first
    while counted < len(tokens):
        start = 0 if counted == 1 else max(0, counted - 1 - (length - step))
        end = min(len(tokens), start + length + 1)
        yield Window(document, tokens[start:end], counted - start)
        counted = end


class Scorer:
    """Sums the nats of documents, many windows of similar length at a time."""

    def __init__(
        self,
        model: PreTrainedModel,
        length: int,
        on_batch: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_batch` is called after every pass of the model; what it raises ends the scoring."""
        self._on_batch = on_batch
        self._model = model.train(False)
        self._length = length
        vocabulary = int(model.config.get_text_config().vocab_size)
        most = _TOKENS_AT_ONCE.get(model.device.type, 4096)
        self._tokens_at_once = max(length, min(most, _SCORES_AT_ONCE // vocabulary))

    def score(self, documents: Iterable[Sequence[int]]) -> Iterator[float]:
        """The nats of each document, in their order; each begins with one token of context."""
        return self.score_from((tokens, 1) for tokens in documents)

    def score_from(self, documents: Iterable[tuple[Sequence[int], int]]) -> Iterator[float]:
        """The nats of the tokens from a number on, given with each document; it is at least 1."""
        held: list[tuple[Sequence[int], int]] = []
        for document in documents:
            held.append(document)
            if len(held) == _DOCUMENTS_AT_ONCE:
                yield from self._score_some(held)
                held = []
        yield from self._score_some(held)

    def _score_some(self, documents: Sequence[tuple[Sequence[int], int]]) -> list[float]:
        sums = [0.0] * len(documents)
        windows = [
            window
            for number, (tokens, first) in enumerate(documents)
            for window in windows_of(number, tokens, self._length, first)
        ]
        windows.sort(key=lambda window: -len(window.tokens))
        start = 0
        while start < len(windows):
            count = max(1, self._tokens_at_once // len(windows[start].tokens))
            for window, nats in self._score_batch(windows[start : start + count]):
                sums[window.document] += nats
            self._on_batch()
            start += count
        return sums

    @torch.inference_mode()
    def _score_batch(self, windows: Sequence[Window]) -> list[tuple[Window, float]]:
        # Padding stands on the right, where a causal model cannot see it from what is counted.
        width = len(windows[0].tokens) - 1
        inputs = torch.zeros((len(windows), width), dtype=torch.int64)
        targets = torch.full((len(windows), width), _IGNORED, dtype=torch.int64)
        for row, window in enumerate(windows):
            tokens = torch.as_tensor(window.tokens, dtype=torch.int64)
            inputs[row, : len(tokens) - 1] = tokens[:-1]
            targets[row, window.counted_from - 1 : len(tokens) - 1] = tokens[window.counted_from :]
        device = self._model.device
        scores = self._model(input_ids=inputs.to(device), use_cache=False).logits
        nats = functional.cross_entropy(
            scores.flatten(0, 1).float(),
            targets.to(device).flatten(),
            ignore_index=_IGNORED,
            reduction="none",
        )
        sums = nats.view(len(windows), width).double().sum(dim=1).tolist()
        return list(zip(windows, sums, strict=True))
