"""One choice of one request while the engine works on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .ask import NORMAL
from .chance import fresh_seed, uniform
from .constraints import Constraint
from .events import Sink, TokenScore
from .output import Output
from .params import SamplingParams

if TYPE_CHECKING:
    from .drafts import Pace


@dataclass(eq=False, slots=True)
class Sequence:
    """Prompt, sampling parameters and what has been computed so far; a `Ticket`.

    `source` is what must be in the cache before the next token can be sampled: the prompt, and
    the answer as far as it was there when the sequence was queued.
    """

    prompt: list[int]
    params: SamplingParams
    sink: Sink
    output: Output
    choice: int = 0
    seed_index: int = 0
    cancelled: bool = False
    ended: bool = False
    tenant: str = ""
    priority: int = NORMAL
    deadline: float | None = None
    adapter: str = ""
    computed: int = 0
    cached_tokens: int = 0
    #: How often it has given way to others, and begun again with what it had said.
    restarts: int = 0
    #: The choice of the same prompt that computes it for this one too.
    leader: Sequence | None = None
    #: Positions behind the computed ones that hold guesses which are not checked yet.
    ahead: int = 0
    saved_blocks: int = 0
    pace: Pace | None = None
    block_keys: list[bytes] = field(default_factory=list)
    finish: str | None = None
    tokens: list[int] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    prompt_scores: list[TokenScore] = field(default_factory=list)
    submitted_at: float = field(default_factory=lambda: time.monotonic())
    started_at: float | None = None
    first_token_at: float | None = None
    source: list[int] = field(init=False)
    seed: int = field(init=False)
    constraint: Constraint | None = field(init=False)
    seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.source = self.prompt
        self.seed = fresh_seed() if self.params.seed is None else self.params.seed
        grammar = self.params.grammar
        self.constraint = None if grammar is None else grammar.start()
        if self.params.repetition_penalty != 1:
            self.seen.update(self.prompt)

    @property
    def prefilled(self) -> bool:
        """True when all of the source is in the cache."""
        return self.computed >= len(self.source)

    @property
    def queue_ms(self) -> float | None:
        """How long it waited for its turn, None while it waits."""
        return _milliseconds(self.submitted_at, self.started_at)

    @property
    def prefill_ms(self) -> float | None:
        """From its turn to its first own token, None before that."""
        return _milliseconds(self.started_at, self.first_token_at)

    def restart(self) -> None:
        """Nothing of it is in the cache any more: prompt and answer are to be read again."""
        self.source = self.prompt + self.tokens
        self.computed = self.ahead = self.saved_blocks = 0
        self.restarts += 1
        if self.tokens:
            self.leader = None
        else:
            self.prompt_scores = []

    def draw(self) -> float:
        """The random number of the next token's place."""
        return uniform(self.seed, self.seed_index, len(self.tokens))

    def take(self, token_id: int) -> None:
        """Append a sampled token."""
        self.tokens.append(token_id)
        if self.constraint is not None:
            self.constraint.accept(token_id)
        if self.params.repetition_penalty != 1:
            self.seen.add(token_id)
        if self.params.presence_penalty or self.params.frequency_penalty:
            self.counts[token_id] = self.counts.get(token_id, 0) + 1


def _milliseconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round((end - start) * 1000, 3)
