"""One choice of one request while the engine works on it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from .events import Sink, TokenScore
from .output import Output
from .params import SamplingParams


@dataclass(eq=False, slots=True)
class Sequence:
    """Prompt, sampling parameters and what has been computed so far."""

    prompt: list[int]
    params: SamplingParams
    sink: Sink
    output: Output
    choice: int = 0
    seed_index: int = 0
    cancelled: bool = False
    ended: bool = False
    computed: int = 0
    tokens: list[int] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    prompt_scores: list[TokenScore] = field(default_factory=list)
    submitted_at: float = field(default_factory=time.monotonic)
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # The random stream depends on seed and choice alone, never on the batch: one
        # draw a token from a generator that nobody else uses.
        seed = self.params.seed
        self.rng = random.Random(None if seed is None else f"{seed}:{self.seed_index}")

    @property
    def prefilled(self) -> bool:
        """True when the whole prompt is in the cache."""
        return self.computed >= len(self.prompt)

    def take(self, token_id: int) -> None:
        """Append a sampled token."""
        self.tokens.append(token_id)
        if self.params.presence_penalty or self.params.frequency_penalty:
            self.counts[token_id] = self.counts.get(token_id, 0) + 1
