"""The serving engine: one thread, one model, one packed step after another."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch

from .adapters import Adapters
from .ask import Ask
from .deltas import extend, replay, score_prompt
from .detokenize import TokenText
from .drafts import Drafter
from .errands import Errands
from .errors import (
    DeadlinePassed,
    Draining,
    GenerationFailed,
    QueueFull,
    ServerStopped,
    ServingError,
)
from .events import Delta, Ended, Sink
from .gauges import EngineStats, Gauges
from .output import Output
from .params import SamplingParams
from .plan import Move, Runner, StepPlan
from .prefixes import PrefixCache
from .sampler import Choice, Rows
from .scheduler import Hooks, Scheduler
from .sequence import Sequence

if TYPE_CHECKING:
    from .pooling import Embedder

_IDLE_WAIT = 0.5


class Engine:
    """Admits, steps and ends sequences. `run` is the loop; everything else is thread-safe.

    A request that fails ends alone. An exception in a forward pass fails the sequences of
    that step; then the model must prove itself with one token, or the engine is broken.
    """

    def __init__(
        self,
        runner: Runner,
        decoder: TokenText,
        eos_ids: Iterable[int],
        *,
        max_waiting: int = 64,
        prefixes: PrefixCache | None = None,
        drafter: Drafter | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.runner = runner
        self.decoder = decoder
        self.eos_ids = frozenset(eos_ids)
        self.max_waiting = max_waiting
        self.gauges = Gauges()
        #: What makes embeddings of this model, where it can.
        self.embedder: Embedder | None = None
        self.errands = Errands(self._nudge)
        self.broken: str | None = None
        self._log = log or (lambda line: None)
        self._prefixes = prefixes
        self._drafter = drafter if getattr(runner, "checks_drafts", False) else None
        self._fork: Callable[[Move], None] | None = getattr(runner, "fork", None)
        self._scheduler = Scheduler(
            max_slots=runner.max_slots,
            prefill_chunk=runner.prefill_chunk,
            context_length=runner.context_length,
            whole_prompts=runner.whole_prompts,
            hooks=Hooks(
                begin=self._begin,
                guess=None if self._drafter is None else self._guess,
                room=getattr(runner, "has_room", Hooks.room),
            ),
        )
        self._wake = threading.Condition()
        self.adapters = Adapters(getattr(runner, "bank", None), self._nudge)
        self._inbox: deque[Sequence] = deque()
        self._live = 0
        self._live_of: Counter[str] = Counter()
        self._crowded = False
        self._cancellations = False
        self._draining = False
        self._stopping = False

    # ---- asked from any thread -------------------------------------------------------------

    def submit(self, asks: list[Ask], sink: Sink, *, choices: int = 1) -> list[Sequence]:
        """Queue `choices` answers to each prompt, all of them or none.

        Choice number is prompt index * choices + j, as OpenAI numbers them, where the ask gives
        none. Raises `QueueFull` or `Draining`. A tenant within its share of the places is taken in
        even then: the newest of those who have more than theirs make way, with `QueueFull`.
        """
        sequences = []
        for index, ask in enumerate(asks):
            own = [self._sequence(ask, sink, index * choices + j, j) for j in range(choices)]
            if self._fork is not None and not ask.params.score_prompt:
                for follower in own[1:]:
                    follower.leader = own[0]
            sequences += own
        with self._wake:
            if self._draining or self._stopping or self.broken:
                raise Draining
            self._check_room(sequences)
            self._take_adapters(sequences)
            self._live += len(sequences)
            self._live_of.update(sequence.tenant for sequence in sequences)
            self._inbox.extend(sequences)
            self._wake.notify()
        return sequences

    def _check_room(self, sequences: list[Sequence]) -> None:
        """Under the lock."""
        places = self.runner.max_slots + self.max_waiting
        lacking = self._live + len(sequences) - places
        if lacking <= 0:
            return
        tenants = Counter(sequence.tenant for sequence in sequences)
        share = places // len(self._live_of.keys() | tenants.keys())
        if any(self._live_of[tenant] + count > share for tenant, count in tenants.items()):
            raise self._queue_full()
        self._crowded = True

    def _queue_full(self) -> QueueFull:
        waiting = max(0, self._live - self.runner.max_slots)
        return QueueFull(waiting, self.gauges.retry_after(waiting, self.runner.max_slots))

    def _make_way(self) -> None:
        """More wait than there are places: the newest of those who have most are sent away."""
        self._crowded = False
        while self._live > self.runner.max_slots + self.max_waiting:
            newest = self._scheduler.queue.newest_of_most(self._live_of)
            if newest is None:
                return
            self._end(newest, self._queue_full())

    def fail(self, why: str) -> None:
        """It must not go on, for a reason that lies outside of it: the loop ends at once."""
        with self._wake:
            if not self._stopping:
                self.broken = self.broken or why
            self._wake.notify()

    def close(self) -> None:
        """Give back what the runner holds outside of this process. After the loop has ended."""
        close: Callable[[], None] | None = getattr(self.runner, "close", None)
        if close is not None:
            close()

    def _take_adapters(self, sequences: list[Sequence]) -> None:
        """From here on each has the key of its adapter: all of them, or AdapterNotLoaded."""
        counts = Counter(sequence.adapter for sequence in sequences)
        keys: dict[str, str] = {}
        try:
            for name, count in counts.items():
                keys[name] = self.adapters.take(name, count)
        except ServingError:
            for name, key in keys.items():
                self.adapters.leave(key, counts[name])
            raise
        for sequence in sequences:
            sequence.adapter = keys[sequence.adapter]

    def _nudge(self) -> None:
        with self._wake:
            self._wake.notify()

    def cancel(self, sequences: Iterable[Sequence]) -> None:
        """Give these up within one step; each still gets its last event."""
        with self._wake:
            for sequence in sequences:
                sequence.cancelled = True
            self._cancellations = True
            self._wake.notify()

    def drain(self) -> None:
        """Take nothing new; what is queued and running goes on."""
        with self._wake:
            self._draining = True

    def stop(self) -> None:
        """End the loop now; whatever is left fails."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    @property
    def vocab_size(self) -> int:
        """See `backend.Backend`."""
        return self.runner.vocab_size

    @property
    def context_length(self) -> int:
        """See `backend.Backend`."""
        return self.runner.context_length

    @property
    def max_slots(self) -> int:
        """See `backend.Backend`."""
        return self.runner.max_slots

    @property
    def mode(self) -> str:
        """See `backend.Backend`."""
        return self.runner.mode

    @property
    def cache_bytes(self) -> int:
        """See `backend.Backend`."""
        return getattr(getattr(self.runner, "cache", None), "bytes", 0)

    @property
    def live(self) -> int:
        """Sequences queued or running."""
        return self._live

    def stats(self) -> EngineStats:
        """A snapshot for the health page."""
        running = self._scheduler.running
        stats = self.gauges.snapshot(
            state=self.state, running=running, waiting=max(0, self._live - running)
        )
        kept = self._prefixes
        return dataclasses.replace(
            stats,
            cache_blocks_total=kept.total if kept else 0,
            cache_blocks_free=kept.free if kept else 0,
            prefix_hit_tokens=kept.hit_tokens if kept else 0,
            waiting_by_tenant=self._scheduler.queue.waiting(),
        )

    @property
    def state(self) -> str:
        """ready, draining or failed."""
        if self.broken:
            return "failed"
        return "draining" if self._draining or self._stopping else "ready"

    def _sequence(self, ask: Ask, sink: Sink, choice: int, stream: int) -> Sequence:
        sequence = Sequence(
            prompt=ask.prompt,
            params=ask.params,
            sink=sink,
            output=Output(self.decoder, ask.prompt, ask.params),
            choice=choice if ask.number is None else ask.number,
            seed_index=stream if ask.number is None else ask.stream,
            tenant=ask.tenant,
            priority=ask.priority,
            deadline=ask.deadline,
            adapter=ask.adapter,
        )
        if ask.prior:
            replay(sequence, ask.prior, self.eos_ids, self.runner.context_length)
        return sequence

    # ---- the engine's thread ---------------------------------------------------------------

    def run(self) -> None:
        """Step until `stop`, or until the model cannot be trusted any more."""
        while not self._stopping and not self.broken:
            with self._wake:
                busy = self._inbox or self._cancellations or self.adapters.busy
                if not busy and not self.errands and not self._scheduler.has_work:
                    self._wake.wait(_IDLE_WAIT)
            try:
                self.step()
            except Exception as error:  # not of the model: the engine itself is wrong
                self.broken = f"{type(error).__name__}: {error}"
                self._log(f"the engine failed, stopping: {self.broken}")
        stopped = ServerStopped()
        with self._wake:
            self._stopping = True
            left = list(self._inbox)
            self._inbox.clear()
        for sequence in left:
            self._scheduler.add(sequence)
        for sequence in self._scheduler.everyone():
            self._end(sequence, stopped)
        self.errands.close(stopped)

    @torch.inference_mode()
    def step(self) -> bool:
        """Admit, cancel, compute one step, deliver. False where there was nothing to do."""
        self._admit()
        self.errands.run_piece()
        self.adapters.between_steps(idle=not self._scheduler.running)
        while (victim := self._scheduler.victim()) is not None:
            self._preempt(victim)
        plan = self._scheduler.plan()
        if plan is None:
            return False
        started = time.perf_counter()
        batch = [*self._scheduler.decoding, *self._scheduler.prefilling[: len(plan.chunks)]]
        for sequence in batch:
            sequence.started_at = sequence.started_at or time.monotonic()
        try:
            logits = self._forward(plan, batch)
            self._advance(plan, batch)
            self._deliver(plan, batch, logits)
        except Exception as error:
            self._step_failed(batch, error)
            return True
        self.gauges.stepped(time.perf_counter() - started, plan)
        return True

    def _forward(self, plan: StepPlan, batch: list[Sequence]) -> torch.Tensor:
        spans = zip(batch, plan.spans, strict=True)
        self.adapters.begin([(sequence.adapter, count) for sequence, count in spans])
        try:
            return self.runner.forward(plan)
        finally:
            self.adapters.end()

    def _advance(self, plan: StepPlan, batch: list[Sequence]) -> None:
        """Count what was computed, keep it for others, and fork who waited for it."""
        reading = batch[len(plan.decode) :]
        changes = self._scheduler.advance(plan)
        for move in changes.moves:
            self.runner.move(move)
        for fork in changes.forks:
            self._fork(fork)  # type: ignore[misc]
        for sequence in changes.forked:
            sequence.started_at = time.monotonic()
        batch += changes.forked
        for sequence in reading:
            self._keep(sequence)

    def _preempt(self, sequence: Sequence) -> None:
        """The cache runs out: this one gives its slot back and goes on later, as if nothing had
        been. What it has computed is kept as a prefix, as long as there is room for that.
        """
        slot = self._scheduler.slot_of(sequence)
        if sequence.computed:
            self._keep(sequence)
        moves = self._scheduler.preempt(sequence)
        if slot is not None:
            self.runner.release(slot)
        for move in moves:
            self.runner.move(move)
        self.gauges.preempted += 1

    def _begin(self, sequence: Sequence, slot: int) -> int:
        """How much of a source need not be computed; it lies in the slot after that."""
        leader = sequence.leader
        if leader is not None and self._fork is not None and leader in self._scheduler.decoding:
            length = len(sequence.source) - 1
            self._fork(Move(self._scheduler.decoding.index(leader), slot, length))
            if not sequence.restarts:
                sequence.cached_tokens = leader.cached_tokens
            return length
        if self._prefixes is None or sequence.params.score_prompt:
            return 0
        known = self._prefixes.begin(sequence, slot)
        if not sequence.restarts:
            sequence.cached_tokens = min(known, len(sequence.prompt))
        return known

    def _keep(self, sequence: Sequence) -> None:
        """Keep what a sequence has computed for those that begin like it."""
        slot = self._scheduler.slot_of(sequence)
        if self._prefixes is None or slot is None:
            return
        try:
            self._prefixes.keep(sequence, slot)
        except Exception as error:  # not worth an answer: what was kept may be half written
            self._log(f"prefixes are not kept any more: {type(error).__name__}: {error}")
            self._prefixes = None

    def _guess(self, sequence: Sequence) -> list[int]:
        """What may follow, as far as the answer can still go."""
        said = len(sequence.tokens)
        left = min(sequence.params.max_tokens, self.context_length - len(sequence.prompt)) - said
        beside = len(self._scheduler.decoding)
        return self._drafter.guess(sequence, left - 1, beside) if self._drafter else []

    def _admit(self) -> None:
        with self._wake:
            arrived = list(self._inbox)
            self._inbox.clear()
            cancelling, self._cancellations = self._cancellations, False
        for sequence in arrived:
            if sequence.finish is None:
                self._scheduler.add(sequence)
            else:
                self._was_over(sequence)
        if cancelling:
            for sequence in self._scheduler.everyone():
                if sequence.cancelled:
                    self._end(sequence, None)
        if self._crowded:
            self._make_way()
        for sequence in self._scheduler.queue.late():
            self._end(sequence, DeadlinePassed(time.monotonic() - sequence.submitted_at))

    def _was_over(self, sequence: Sequence) -> None:
        """The tokens that were given to go on from ended the answer: only that is left to say."""
        self._scheduler.add(sequence)
        self._remove(sequence)
        self.gauges.finished(sequence, "completed")
        self._tell(
            sequence,
            Delta(sequence.choice, "", len(sequence.tokens), finish=sequence.finish),
        )

    def _deliver(self, plan: StepPlan, batch: list[Sequence], logits: torch.Tensor) -> None:
        """Sort the rows to their sequences, sample, and tell everyone."""
        at, takers = 0, []
        drafts: Iterable[list[int]] = plan.drafts or [[] for _ in plan.decode]
        for sequence, draft in zip(batch, drafts, strict=False):
            takers.append((sequence, at, draft))
            at += 1 + len(draft)
        for chunk, sequence in zip(plan.chunks, batch[len(plan.decode) :], strict=False):
            if chunk.every_row:
                score_prompt(sequence, chunk.start, chunk.tokens, logits[at:])
            at += chunk.rows
            if chunk.last:
                takers.append((sequence, at - 1, []))
                followers = batch[len(plan.spans) :]
                takers += [(one, at - 1, []) for one in followers if one.leader is sequence]
        if not takers:
            return
        rows = Rows(logits)
        for sequence, row, draft in takers:
            self._walk(sequence, rows, row, draft, len(plan.decode))

    def _walk(
        self, sequence: Sequence, rows: Rows, row: int, draft: list[int], beside: int
    ) -> None:
        """Take the token after each row for as long as it is the one that was guessed there."""
        right = 0
        for place, guess in enumerate([*draft, None]):
            self._accept(sequence, rows.choose(row + place, sequence))
            if sequence.ended or guess is None or sequence.tokens[-1] != guess:
                break
            right += 1
            sequence.computed += 1
        sequence.ahead = 0
        if draft and self._drafter is not None:
            self._drafter.learn(sequence, len(draft), right, beside)
            self.gauges.guessed(len(draft), right)

    def _accept(self, sequence: Sequence, choice: Choice | ServingError) -> None:
        """One sampled token of one sequence; nothing that happens here touches another."""
        if isinstance(choice, ServingError):
            self._end(sequence, choice, wipe=True)
            return
        try:
            self.gauges.sampled(sequence)
            delta = extend(sequence, choice, self.eos_ids, self.runner.context_length)
        except Exception as error:
            self._log(f"decoding the answer failed: {type(error).__name__}: {error}")
            self._end(sequence, GenerationFailed("The answer could not be decoded."))
            return
        if delta.finish is not None:
            self._remove(sequence)
            self.gauges.finished(sequence, "completed")
        self._tell(sequence, delta)

    def _step_failed(self, batch: list[Sequence], error: Exception) -> None:
        """Nobody in this step can go on: their cache may be half written."""
        self._log(f"a step failed: {type(error).__name__}: {error}")
        failure = GenerationFailed("The model failed while computing this answer.")
        for sequence in batch:
            self._end(sequence, failure, wipe=True)
        # Slots have closed up while they ended: whatever the step has touched is wiped.
        for slot in range(len(batch)):
            self.runner.release(slot, wipe=True)
        try:
            self.prove()
        except Exception as again:
            self.broken = f"{type(again).__name__}: {again}"
            self._log(f"the model failed its check after that, stopping: {self.broken}")

    @torch.inference_mode()
    def prove(self) -> int:
        """Compute one real token outside any request; what readiness means.

        Uses slot 0: only to be called on the engine's thread while no sequence has anything
        in the cache (before the first step, or after a failed one, which empties it).
        """
        runner = self.runner
        scheduler = Scheduler(max_slots=1, prefill_chunk=runner.prefill_chunk)
        ask = Ask([0], SamplingParams(max_tokens=1, temperature=0))
        sequence = self._sequence(ask, _nobody, 0, 0)
        scheduler.add(sequence)
        plan = scheduler.plan()
        if plan is None:
            raise RuntimeError("no step could be planned")
        choice = Rows(runner.forward(plan)).choose(0, sequence)
        runner.release(0)
        if isinstance(choice, ServingError):
            raise RuntimeError(choice.message)
        return choice[0]

    def _end(self, sequence: Sequence, error: ServingError | None, *, wipe: bool = False) -> None:
        """A sequence ends without an answer."""
        if sequence.ended:
            return
        computed = sequence.computed > 0
        self._remove(sequence, wipe=wipe)
        self.gauges.finished(sequence, "cancelled" if error is None else "failed")
        self._tell(sequence, Ended(sequence.choice, len(sequence.tokens), computed, error))

    def _remove(self, sequence: Sequence, *, wipe: bool = False) -> None:
        sequence.ended = True
        slot = self._scheduler.slot_of(sequence)
        if self._prefixes is not None and wipe:
            self._prefixes.forget(sequence)
        elif sequence.computed:
            self._keep(sequence)
        moves = self._scheduler.remove(sequence)
        if slot is not None:
            self.runner.release(slot, wipe=wipe)
        for move in moves:
            self.runner.move(move)
        self.adapters.leave(sequence.adapter)
        with self._wake:
            self._live -= 1
            self._live_of[sequence.tenant] -= 1
            if not self._live_of[sequence.tenant]:
                del self._live_of[sequence.tenant]

    def _tell(self, sequence: Sequence, event: Delta | Ended) -> None:
        try:
            sequence.sink(event)
        except Exception as error:
            # The one who asked is gone (its event loop closed): nobody else must suffer.
            self._log(f"an answer could not be delivered: {type(error).__name__}: {error}")
            sequence.cancelled = self._cancellations = True


def _nobody(event: Delta | Ended) -> None:
    """The sink of the readiness token."""
