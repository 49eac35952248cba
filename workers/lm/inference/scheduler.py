"""Decides which tokens the next step computes: pure arithmetic over sequences and slots."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .fair import SAMPLED, FairQueue
from .plan import Move, PrefillChunk, StepPlan
from .room import AHEAD, Room
from .sequence import Sequence


@dataclass(frozen=True)
class Hooks:
    """What the scheduler asks others.

    `begin` puts what is known of a sequence's source into a slot and says how many positions that
    is; `guess` says what may follow a decoding sequence; `room` whether the cache can hold so many
    slots of that length.
    """

    begin: Callable[[Sequence, int], int] = lambda sequence, slot: 0
    guess: Callable[[Sequence], list[int]] | None = None
    room: Callable[[int, int], bool] = lambda slots, length: True


@dataclass(slots=True)
class Changes:
    """What a computed step changes in the slots: first the moves, then the forks, in order."""

    moves: list[Move] = field(default_factory=list)
    forks: list[Move] = field(default_factory=list)
    forked: list[Sequence] = field(default_factory=list)


class Scheduler:
    """Takes turns as `FairQueue` says; decoding never waits for more than one chunk of prompt.

    Slots stay dense: decoding sequences fill 0 .. n-1, those still reading their prompt follow. A
    step spends its chunk budget in that order, so at most the first of them has a part of its
    prompt in the cache, and only it must move when n changes. Choices of a prompt that is being
    read wait for it and are forked off when it is done.

    Who begins needs room for what he has and a little ahead, beside all who run. When they have
    grown until there is too little, `victim` says who gives way; one that runs alone always fits.
    """

    def __init__(
        self,
        *,
        max_slots: int,
        prefill_chunk: int,
        context_length: int = 0,
        whole_prompts: bool = False,
        hooks: Hooks | None = None,
        queue: FairQueue | None = None,
    ) -> None:
        self.max_slots = max_slots
        self.prefill_chunk = prefill_chunk
        self.context_length = context_length
        self.whole_prompts = whole_prompts
        self.queue = queue or FairQueue()
        self.decoding: list[Sequence] = []
        self.prefilling: list[Sequence] = []
        self.forking: list[Sequence] = []
        self._hooks = hooks or Hooks()
        self._room = Room(self._hooks.room, context_length)

    @property
    def running(self) -> int:
        """Sequences that hold a slot."""
        return len(self.decoding) + len(self.prefilling) + len(self.forking)

    @property
    def has_work(self) -> bool:
        """Whether anybody runs or could run: who is alone in the queue always fits."""
        return bool(self.running or len(self.queue))

    def add(self, sequence: Sequence) -> None:
        """Put a sequence into the queue."""
        self.queue.add(sequence)

    def plan(self) -> StepPlan | None:
        """The next step, or None where there is nothing to compute."""
        chunks = self._chunks()
        if not self.decoding and not chunks:
            return None
        return StepPlan(
            decode=[sequence.tokens[-1] for sequence in self.decoding],
            positions=[sequence.computed for sequence in self.decoding],
            chunks=chunks,
            drafts=self._drafts(),
        )

    def _drafts(self) -> tuple[list[int], ...]:
        if self._hooks.guess is None:
            return ()
        drafts = tuple(self._hooks.guess(sequence) for sequence in self.decoding)
        if not any(drafts):
            return ()
        guessed = zip(self.decoding, drafts, strict=True)
        longest = max(one.computed + 1 + len(draft) for one, draft in guessed)
        fits = self._room.holds(self.running, max(longest, self._longest()))
        return drafts if fits or self.running == 1 else ()

    def _chunks(self) -> list[PrefillChunk]:
        budget = self.prefill_chunk
        chunks: list[PrefillChunk] = []
        while budget > 0:
            offset = len(chunks)
            if offset == len(self.prefilling) and not self._take_in():
                break
            sequence, slot = self.prefilling[offset], len(self.decoding) + offset
            if not sequence.computed:
                sequence.computed = self._hooks.begin(sequence, slot)
            left = len(sequence.source) - sequence.computed
            size = min(budget, left)
            if self.whole_prompts and size < left:
                break
            budget -= size
            chunks.append(self._chunk(sequence, slot, size))
        return chunks

    def _chunk(self, sequence: Sequence, slot: int, size: int) -> PrefillChunk:
        start = sequence.computed
        return PrefillChunk(
            slot=slot,
            start=start,
            tokens=sequence.source[start : start + size],
            last=start + size == len(sequence.source),
            every_row=sequence.params.score_prompt and not sequence.tokens,
        )

    def _take_in(self) -> bool:
        """Give slots to those whose turn it is until one of them has a prompt to read."""
        while self.running < self.max_slots:
            sequence = self.queue.first()
            if sequence is None or not self._has_room(sequence):
                return False
            self.queue.remove(sequence)
            if sequence.leader in self.prefilling:
                self.forking.append(sequence)
            else:
                self.prefilling.append(sequence)
                return True
        return False

    def _has_room(self, sequence: Sequence) -> bool:
        """Whether everybody who runs can go on for a while beside this one."""
        longest = max(self._longest(), len(sequence.source))
        fits = self._room.holds(self.running + 1, longest, ahead=AHEAD)
        return fits or not self.running

    def _longest(self) -> int:
        """Positions of the longest one after the next step, as far as none is guessed."""
        decoding = (one.computed + 1 for one in self.decoding)
        reading = (len(one.source) for one in (*self.prefilling, *self.forking))
        return max((*decoding, *reading), default=0)

    def victim(self) -> Sequence | None:
        """Who must give way before the next step, None where all have room: of the lowest priority
        who came last. Waiting lifts the priority, so nobody gives way for ever.
        """
        if self.running < 2 or self._room.holds(self.running, self._longest()):
            return None
        now = time.monotonic()
        running = [*self.decoding, *self.prefilling, *self.forking]
        return max(running, key=lambda one: (-self.queue.urgency(one, now), one.submitted_at))

    def preempt(self, sequence: Sequence) -> list[Move]:
        """Take one that runs back to the head of the queue, with all that it has said; returns the
        moves that keep the slots dense.
        """
        moves = self._leave_slot(sequence)
        for one in self.everyone():
            if one.leader is sequence:
                one.leader = None  # it will read more than the prompt that they share
        sequence.restart()
        self.queue.put_back(sequence)
        return moves

    def advance(self, plan: StepPlan) -> Changes:
        """The step has been computed: count its tokens; full prompts begin to decode."""
        spans = plan.spans
        for sequence, span in zip(self.decoding, spans, strict=False):
            sequence.computed += 1
            sequence.ahead = span - 1
            self.queue.served(sequence.tenant, SAMPLED)
        finished = []
        for chunk, sequence in zip(plan.chunks, list(self.prefilling), strict=False):
            sequence.computed += len(chunk.tokens)
            self.queue.served(sequence.tenant, len(chunk.tokens))
            if sequence.prefilled:
                self.prefilling.remove(sequence)
                self.decoding.append(sequence)
                finished.append(sequence)
        return self._fork(finished)

    def _fork(self, finished: list[Sequence]) -> Changes:
        """Those who waited for these prompts decode behind them; who reads now makes way."""
        changes = Changes()
        changes.forked = [one for one in self.forking if one.leader in finished]
        if not changes.forked:
            return changes
        if self.prefilling and self.prefilling[0].computed:
            here, head = len(self.decoding), self.prefilling[0]
            changes.moves.append(Move(here, here + len(changes.forked), head.computed))
        for sequence in changes.forked:
            leader = sequence.leader
            if leader is None:
                continue
            source, target = self.decoding.index(leader), len(self.decoding)
            changes.forks.append(Move(source, target, leader.computed))
            sequence.computed, sequence.cached_tokens = leader.computed, leader.cached_tokens
            self.forking.remove(sequence)
            self.decoding.append(sequence)
        return changes

    def slot_of(self, sequence: Sequence) -> int | None:
        """The slot that holds this sequence, None while it waits."""
        if sequence in self.decoding:
            return self.decoding.index(sequence)
        if sequence in self.prefilling:
            return len(self.decoding) + self.prefilling.index(sequence)
        return None

    def remove(self, sequence: Sequence) -> list[Move]:
        """Take a sequence out; returns the moves that keep the slots dense."""
        self.queue.left(sequence)
        return self._leave_slot(sequence)

    def _leave_slot(self, sequence: Sequence) -> list[Move]:
        if sequence in self.prefilling:
            self._remove_prefilling(sequence)
            return []
        if sequence in self.forking:
            self.forking.remove(sequence)
            return []
        if sequence not in self.decoding:
            self.queue.remove(sequence)
            return []
        return self._remove_decoding(sequence)

    def _remove_decoding(self, sequence: Sequence) -> list[Move]:
        hole, last = self.decoding.index(sequence), len(self.decoding) - 1
        moves = []
        if hole != last:
            moved = self.decoding[hole] = self.decoding[last]
            moves.append(Move(source=last, target=hole, length=moved.computed + moved.ahead))
        self.decoding.pop()
        if self.prefilling and self.prefilling[0].computed:
            head = self.prefilling[0]
            moves.append(Move(source=last + 1, target=last, length=head.computed))
        return moves

    def _remove_prefilling(self, sequence: Sequence) -> None:
        """Those behind the first one have nothing in the cache yet, so nothing moves.

        Who waited for its prompt reads it now, one of them for all.
        """
        place = self.prefilling.index(sequence)
        self.prefilling.pop(place)
        heirs = [one for one in self.forking if one.leader is sequence]
        for heir in heirs:
            heir.leader = heirs[0]
        if heirs:
            heirs[0].leader = None
            self.forking.remove(heirs[0])
            self.prefilling.insert(place, heirs[0])

    def everyone(self) -> list[Sequence]:
        """All sequences, running first."""
        return [*self.decoding, *self.prefilling, *self.forking, *self.queue]
