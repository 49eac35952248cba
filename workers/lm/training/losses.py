"""The loss of a model on batches of tokens."""

from collections.abc import Iterable

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from workers.lm.compute.precision import autocast
from workers.lm.data.batches import Batch


def batch_loss(model: PreTrainedModel, batch: Batch, precision: str = "fp32") -> torch.Tensor:
    """Mean nats per token of one batch, ready for the backward pass."""
    inputs, targets = (part.to(model.device, non_blocking=True) for part in batch)
    with autocast(model.device, precision):
        scores = model(input_ids=inputs, use_cache=False).logits
    return functional.cross_entropy(scores.flatten(0, 1).float(), targets.flatten())


@torch.no_grad()
def validation_loss(model: PreTrainedModel, batches: Iterable[Batch], precision: str) -> float:
    """Mean nats per token over all batches, each token counting the same."""
    was_training = model.training
    model.train(False)
    total, tokens = 0.0, 0
    for batch in batches:
        count = batch[1].numel()
        total += float(batch_loss(model, batch, precision)) * count
        tokens += count
    model.train(was_training)
    return total / tokens
