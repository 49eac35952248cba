"""The loss of a model on batches of tokens."""

from collections.abc import Iterable

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from workers.lm.compute.precision import autocast
from workers.lm.data.batches import Batch
from workers.lm.training.parallel import Alone


def batch_loss(
    model: PreTrainedModel, batch: Batch, precision: str = "fp32", shared_by: int | None = None
) -> torch.Tensor:
    """Mean nats per token of one batch, ready for the backward pass.

    With `shared_by` the sum over the targets that count, divided by that number: parts of a batch
    then add up to the mean over all that counts in it, however it lies in the parts.
    """
    inputs, targets = (part.to(model.device, non_blocking=True) for part in batch)
    with autocast(model.device, precision):
        scores = model(input_ids=inputs, use_cache=False).logits
    scores, wanted = scores.flatten(0, 1).float(), targets.flatten()
    if shared_by is None:
        return functional.cross_entropy(scores, wanted)
    return functional.cross_entropy(scores, wanted, reduction="sum") / shared_by


@torch.no_grad()
def validation_loss(
    model: PreTrainedModel, batches: Iterable[Batch], precision: str, parallel: Alone
) -> float:
    """Mean nats per token over all batches, each token that counts counting the same.

    Several processes share each batch; all get the same result.
    """
    was_training = model.training
    model.train(False)
    total, tokens = 0.0, 0
    for batch in batches:
        mine, counts = parallel.share(batch)
        count = int((mine[1] >= 0).sum()) * counts
        total += float(batch_loss(model, mine, precision)) * count
        tokens += count
    model.train(was_training)
    total, seen = parallel.total(total, tokens)
    return total / seen
