"""Whose turn it is: a queue that is fair between tenants, minds priorities and starves nobody."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping

from .ask import HIGH
from .sequence import Sequence

#: After so many seconds of waiting a request counts as one priority higher.
AGING = 10.0
#: What a sampled token counts beside one of a prompt: it takes a step of its own.
SAMPLED = 2


class FairQueue:
    """Highest priority first; among equals the tenant that was served least; then who came first.

    Served are the tokens computed for a tenant since it had anything to do here. One that comes
    back begins where the least served of those who stayed stands, so that nobody saves up turns by
    staying away, and nobody who was away has to make up for it.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], deque[Sequence]] = {}
        self._served: dict[str, float] = {}
        self._present: Counter[str] = Counter()
        self._length = 0
        self._deadlines = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Sequence]:
        for line in self._lines.values():
            yield from line

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; its tenant is present until `left`."""
        tenant = sequence.tenant
        if not self._present[tenant]:
            least = min((self._served[name] for name in self._present if self._present[name]),
                        default=0.0)  # fmt: skip
            self._served[tenant] = max(self._served.get(tenant, 0.0), least)
        self._present[tenant] += 1
        self._lines.setdefault((tenant, sequence.priority), deque()).append(sequence)
        self._count(sequence, 1)

    def put_back(self, sequence: Sequence) -> None:
        """One that has begun waits again, in front of those of its tenant who have not."""
        line = self._lines.setdefault((sequence.tenant, sequence.priority), deque())
        line.appendleft(sequence)
        self._count(sequence, 1)

    def remove(self, sequence: Sequence) -> bool:
        """Take out one that waits; False where it does not."""
        line = self._lines.get((sequence.tenant, sequence.priority))
        if line is None or sequence not in line:
            return False
        line.remove(sequence)
        self._tidy(sequence)
        return True

    def first(self) -> Sequence | None:
        """Whose turn it is."""
        now = time.monotonic()
        heads = (line[0] for line in self._lines.values())
        return min(heads, key=lambda head: self._rank(head, now), default=None)

    def _rank(self, head: Sequence, now: float) -> tuple[int, float, float]:
        return -self.urgency(head, now), self._served[head.tenant], head.submitted_at

    def urgency(self, sequence: Sequence, now: float) -> int:
        """Its priority, and one more for each while that it has been here."""
        return min(HIGH, sequence.priority + int((now - sequence.submitted_at) / AGING))

    def served(self, tenant: str, tokens: float) -> None:
        """So many tokens have been computed for a tenant."""
        self._served[tenant] = self._served.get(tenant, 0.0) + tokens

    def left(self, sequence: Sequence) -> None:
        """A sequence that was added is over, wherever it was."""
        self._present[sequence.tenant] -= 1
        if self._present[sequence.tenant] > 0:
            return
        del self._present[sequence.tenant]
        if not self._present:
            self._served.clear()

    def late(self) -> list[Sequence]:
        """Those that have not begun by their deadline."""
        if not self._deadlines:
            return []
        now = time.monotonic()
        waiting = (one for one in self if one.started_at is None)
        return [one for one in waiting if one.deadline is not None and one.deadline <= now]

    def newest_of_most(self, live: Mapping[str, int]) -> Sequence | None:
        """Who came last of those who have not begun, of the tenant that has most here, running
        ones too.
        """
        # Who has begun stands at the head of a line: where the last one has, all have.
        lines = {key: line for key, line in self._lines.items() if line[-1].started_at is None}
        tenants = {name for name, _ in lines}
        if not tenants:
            return None
        tenant = max(sorted(tenants), key=lambda name: live[name])
        own = (line[-1] for (name, _), line in lines.items() if name == tenant)
        return min(own, key=lambda last: (last.priority, -last.submitted_at))

    def waiting(self) -> dict[str, int]:
        """How many wait, by tenant."""
        counts: Counter[str] = Counter()
        for (tenant, _), line in list(self._lines.items()):
            counts[tenant] += len(line)
        return dict(counts)

    def _tidy(self, sequence: Sequence) -> None:
        self._count(sequence, -1)
        if not self._lines[sequence.tenant, sequence.priority]:
            del self._lines[sequence.tenant, sequence.priority]

    def _count(self, sequence: Sequence, change: int) -> None:
        self._length += change
        self._deadlines += change * (sequence.deadline is not None)
