"""How one choice is to be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Checked values; `protocol` makes them from a request body.

    `temperature` 0 means the most likely token. `top_logprobs` None means that no
    log-probabilities are wanted; 0 asks for the chosen token's only.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    score_prompt: bool = False
    ignore_eos: bool = False

    @property
    def plain_greedy(self) -> bool:
        """True where the arg max of the raw logits is the whole answer."""
        return (
            self.temperature == 0
            and self.top_logprobs is None
            and not self.logit_bias
            and self.presence_penalty == 0
            and self.frequency_penalty == 0
        )
