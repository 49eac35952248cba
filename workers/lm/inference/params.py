"""How one choice is to be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .constraints import Grammar


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Checked values; `protocol` makes them from a request body.

    `temperature` 0 means the most likely token. `top_logprobs` None means that no
    log-probabilities are wanted; 0 asks for the chosen token's only. `grammar` is the form that
    the answer is held to.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    score_prompt: bool = False
    ignore_eos: bool = False
    grammar: Grammar | None = None

    @property
    def plain_greedy(self) -> bool:
        """True where the arg max of the raw logits is the whole answer."""
        return (
            self.temperature == 0
            and self.top_logprobs is None
            and not self.logit_bias
            and self.presence_penalty == 0
            and self.frequency_penalty == 0
            and self.repetition_penalty == 1
            and self.grammar is None
        )
