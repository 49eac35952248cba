"""Embeddings of texts: the mean of a model's last hidden states, of length one.

The plain forward pass of the model is used, not the packed one: nothing of the cache of running
sequences is touched. Inputs go in batches of about one chunk of prompt, a long one chunk by chunk.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from .errors import GenerationFailed

Done = Callable[["list[list[float]] | Exception"], None]


class Embedder:
    """Over one loaded model; everything but `job` is called on the engine's thread.

    `adapt` is entered around each forward pass, for whatever hangs in the model's layers.
    """

    def __init__(self, model: PreTrainedModel, *, attention: str, budget: int) -> None:
        self._model: Any = model
        self._base: Any = model.base_model
        self._attention = attention
        self._budget = budget
        self._continues = _continues(model, self._base)

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        return int(self._model.config.get_text_config().hidden_size)

    def job(self, inputs: list[list[int]], done: Done) -> EmbeddingJob:
        """An errand for the engine; `done` gets the embeddings [inputs][width], or the error."""
        return EmbeddingJob(self, inputs, done)

    def batches(self, inputs: list[list[int]]) -> Iterator[list[int]]:
        """Numbers of inputs that are computed together: of like length, within the budget."""
        batch: list[int] = []
        for number in sorted(range(len(inputs)), key=lambda number: len(inputs[number])):
            if batch and (len(batch) + 1) * len(inputs[number]) > self._budget:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    @torch.inference_mode()
    def together(self, inputs: list[list[int]]) -> torch.Tensor:
        """Sums of the hidden states of each input, float32 [inputs, width]."""
        longest = max(map(len, inputs))
        ids = torch.zeros(len(inputs), longest, dtype=torch.long)
        mask = torch.zeros(len(inputs), longest, dtype=torch.long)
        for row, tokens in enumerate(inputs):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
        with self._plain_attention():
            states: torch.Tensor = self._base(input_ids=ids, attention_mask=mask, use_cache=False)[
                0
            ]
        return (states.float() * mask[:, :, None]).sum(1)

    @torch.inference_mode()
    def chunk(self, tokens: list[int], past: Any) -> torch.Tensor:
        """The sum of the hidden states of the next tokens of one input, float32 [1, width]."""
        ids = torch.tensor([tokens], device=self._model.device)
        with self._plain_attention():
            states: torch.Tensor = self._base(input_ids=ids, past_key_values=past, use_cache=True)[
                0
            ]
        return states.float().sum(1)

    def pieces(self, tokens: list[int]) -> tuple[list[list[int]], Any]:
        """The chunks of a long input and the cache between them."""
        if not self._continues or len(tokens) <= self._budget:
            return [tokens], None
        starts = range(0, len(tokens), self._budget)
        chunks = [tokens[start : start + self._budget] for start in starts]
        return chunks, DynamicCache(config=self._model.config.get_text_config())

    @contextmanager
    def _plain_attention(self) -> Iterator[None]:
        """The packed attention needs a step's plan: take the model's own meanwhile."""
        before = self._model.config._attn_implementation
        if before == self._attention:
            yield
            return
        self._model.set_attn_implementation(self._attention)
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)


class EmbeddingJob:
    """The inputs of one request, piece by piece; an `errands.Errand`."""

    def __init__(self, embedder: Embedder, inputs: list[list[int]], done: Done) -> None:
        self.cancelled = False
        self._embedder = embedder
        self._inputs = inputs
        self._done = done
        self._sums = torch.zeros(len(inputs), embedder.width)
        self._steps = self._work()

    def piece(self) -> bool:
        """Compute a batch, or a chunk of a long input."""
        if not self.cancelled and next(self._steps, False):
            return True
        self._done(self._embeddings())
        return False

    def fail(self, error: Exception) -> None:
        """Tell whoever waits."""
        self._done(error)

    def _work(self) -> Iterator[bool]:
        for batch in self._embedder.batches(self._inputs):
            if len(batch) == 1:
                chunks, past = self._embedder.pieces(self._inputs[batch[0]])
                for tokens in chunks if past is not None else ():
                    self._sums[batch[0]] += self._embedder.chunk(tokens, past)[0].cpu()
                    yield True
                if past is not None:
                    continue
            sums = self._embedder.together([self._inputs[number] for number in batch])
            self._sums[batch] = sums.cpu()
            yield True

    def _embeddings(self) -> list[list[float]]:
        """Means have the direction of the sums, and only that is left of them."""
        if not bool(torch.isfinite(self._sums).all()):
            raise GenerationFailed(
                "The model produced numbers that are not finite for this input.",
                code="non_finite_logits",
            )
        unit: list[list[float]] = torch.nn.functional.normalize(self._sums, dim=1).tolist()
        return unit


def _continues(model: PreTrainedModel, base: Any) -> bool:
    """Whether the model can go on from keys and values that it computed before."""
    stateful = getattr(model, "_is_stateful", False)
    return not stateful and "past_key_values" in inspect.signature(base.forward).parameters
