"""The most likely tokens after a prompt, one after another."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from workers.lm.errors import UnusableModel


@torch.inference_mode()
def greedy(model: Any, prompt: Sequence[int]) -> Iterator[int]:
    """Tokens of a causal model without end; the caller stops before its context is full.

    Raises UnusableModel where its numbers are not finite.
    """
    new, cache = list(prompt), None
    while True:
        out = model(
            input_ids=torch.tensor([new], device=model.device),
            past_key_values=cache,
            use_cache=True,
        )
        cache, logits = out.past_key_values, out.logits[0, -1]
        if not bool(torch.isfinite(logits).all()):
            raise UnusableModel("The model gives numbers that are not finite.")
        new = [int(logits.argmax())]
        yield new[0]


def end_tokens(model: Any, end: int) -> set[int]:
    """Tokens with which an answer ends: the tokenizer's own and those that the model names."""
    found: set[Any] = {end}
    for source in (model.generation_config, model.config.get_text_config()):
        value = getattr(source, "eos_token_id", None)
        found.update(value if isinstance(value, (list, tuple)) else [value])
    return {token for token in found if isinstance(token, int)}
