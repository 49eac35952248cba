"""What the engine counts about itself; written on its thread, read by the health page."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

from .plan import StepPlan
from .sequence import Sequence

_RECENT = 512


@dataclass(frozen=True)
class EngineStats:
    """A snapshot; times in milliseconds over the most recent steps and answers.

    `preemptions` counts who gave way because the cache ran out. Blocks are those of kept prefixes;
    both are 0 where none are kept. `prefix_hit_tokens` were not computed because they were kept; of
    `drafted_tokens` guesses `accepted_tokens` were right.
    """

    state: str
    running: int
    waiting: int
    steps: int
    prompt_tokens: int
    completion_tokens: int
    completed: int
    cancelled: int
    failed: int
    step_ms_p50: float | None
    step_ms_p99: float | None
    first_token_ms_p50: float | None
    first_token_ms_p99: float | None
    uptime_s: float
    preemptions: int = 0
    cache_blocks_total: int = 0
    cache_blocks_free: int = 0
    prefix_hit_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    waiting_by_tenant: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Gauges:
    """Counters and short windows of latencies."""

    def __init__(self) -> None:
        self.steps = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.drafted = 0
        self.accepted = 0
        self.preempted = 0
        self.outcomes: Counter[str] = Counter()
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._first: deque[float] = deque(maxlen=_RECENT)
        self._whole: deque[float] = deque(maxlen=_RECENT)
        self._started = time.monotonic()

    def stepped(self, seconds: float, plan: StepPlan) -> None:
        """A step has been computed."""
        self.steps += 1
        self._steps.append(seconds)
        self.prompt_tokens += sum(len(chunk.tokens) for chunk in plan.chunks)

    def sampled(self, sequence: Sequence) -> None:
        """A token has been sampled and is about to be appended."""
        if sequence.params.max_tokens == 0:
            return
        self.completion_tokens += 1
        if sequence.first_token_at is None:
            sequence.first_token_at = time.monotonic()
            self._first.append(sequence.first_token_at - sequence.submitted_at)

    def guessed(self, count: int, right: int) -> None:
        """So many guesses of a sequence were checked, and so many of them were right."""
        self.drafted += count
        self.accepted += right

    def finished(self, sequence: Sequence, outcome: str) -> None:
        """A sequence has ended."""
        self.outcomes[outcome] += 1
        if outcome == "completed":
            self._whole.append(time.monotonic() - sequence.submitted_at)

    def retry_after(self, waiting: int, slots: int) -> int:
        """Seconds until a place should be free, from how long recent answers took."""
        recent = list(self._whole)
        typical = sum(recent) / len(recent) if recent else 1.0
        return max(1, min(30, round(typical * (waiting + 1) / max(1, slots))))

    def snapshot(self, *, state: str, running: int, waiting: int) -> EngineStats:
        """Everything at once."""
        steps, first = list(self._steps), list(self._first)
        return EngineStats(
            state=state,
            running=running,
            waiting=waiting,
            steps=self.steps,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            completed=self.outcomes["completed"],
            cancelled=self.outcomes["cancelled"],
            failed=self.outcomes["failed"],
            step_ms_p50=_quantile(steps, 0.5),
            step_ms_p99=_quantile(steps, 0.99),
            first_token_ms_p50=_quantile(first, 0.5),
            first_token_ms_p99=_quantile(first, 0.99),
            uptime_s=round(time.monotonic() - self._started, 3),
            preemptions=self.preempted,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
        )


def _quantile(seconds: list[float], share: float) -> float | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)
