"""The serving engine: one thread, one model, one packed step after another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

import torch

from .ask import Ask
from .deltas import extend, replay
from .detokenize import TokenText
from .errors import Draining, GenerationFailed, QueueFull, ServingError
from .events import Delta, Ended, Sink, TokenScore
from .gauges import EngineStats, Gauges
from .output import Output
from .params import SamplingParams
from .plan import Runner, StepPlan
from .sampler import Choice, sample, score
from .scheduler import Scheduler
from .sequence import Sequence

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
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.runner = runner
        self.decoder = decoder
        self.eos_ids = frozenset(eos_ids)
        self.max_waiting = max_waiting
        self.gauges = Gauges()
        self.broken: str | None = None
        self._log = log or (lambda line: None)
        self._scheduler = Scheduler(
            max_slots=runner.max_slots,
            prefill_chunk=runner.prefill_chunk,
            whole_prompts=runner.whole_prompts,
        )
        self._wake = threading.Condition()
        self._inbox: deque[Sequence] = deque()
        self._live = 0
        self._cancellations = False
        self._draining = False
        self._stopping = False

    # ---- asked from any thread -------------------------------------------------------------

    def submit(self, asks: list[Ask], sink: Sink, *, choices: int = 1) -> list[Sequence]:
        """Queue `choices` answers to each prompt, all of them or none.

        Choice number is prompt index * choices + j, as OpenAI numbers them, where the ask gives
        none. Raises `QueueFull` or `Draining`.
        """
        sequences = [
            self._sequence(ask, sink, index * choices + j, j)
            for index, ask in enumerate(asks)
            for j in range(choices)
        ]
        with self._wake:
            if self._draining or self._stopping or self.broken:
                raise Draining
            room = self.runner.max_slots + self.max_waiting - self._live
            if len(sequences) > room:
                waiting = max(0, self._live - self.runner.max_slots)
                raise QueueFull(waiting, self.gauges.retry_after(waiting, self.runner.max_slots))
            self._live += len(sequences)
            self._inbox.extend(sequences)
            self._wake.notify()
        return sequences

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
        return self.gauges.snapshot(
            state=self.state, running=running, waiting=max(0, self._live - running)
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
                if not self._inbox and not self._cancellations and not self._scheduler.running:
                    self._wake.wait(_IDLE_WAIT)
            try:
                self.step()
            except Exception as error:  # not of the model: the engine itself is wrong
                self.broken = f"{type(error).__name__}: {error}"
                self._log(f"the engine failed, stopping: {self.broken}")
        stopped = GenerationFailed("The model server stopped.", code="server_stopped")
        with self._wake:
            self._stopping = True
            self._scheduler.waiting.extend(self._inbox)
            self._inbox.clear()
        for sequence in self._scheduler.everyone():
            self._end(sequence, stopped)

    @torch.inference_mode()
    def step(self) -> bool:
        """Admit, cancel, compute one step, deliver. False where there was nothing to do."""
        self._admit()
        plan = self._scheduler.plan()
        if plan is None:
            return False
        started = time.perf_counter()
        batch = self._batch(plan)
        for sequence in batch:
            sequence.started_at = sequence.started_at or time.monotonic()
        try:
            logits = self.runner.forward(plan)
            self._scheduler.advance(plan)
            self._deliver(plan, batch, logits)
        except Exception as error:
            self._step_failed(batch, error)
            return True
        self.gauges.stepped(time.perf_counter() - started, plan)
        return True

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

    def _was_over(self, sequence: Sequence) -> None:
        """The tokens that were given to go on from ended the answer: only that is left to say."""
        self._remove(sequence)
        self.gauges.finished(sequence, "completed")
        self._tell(
            sequence,
            Delta(sequence.choice, "", len(sequence.tokens), finish=sequence.finish),
        )

    def _batch(self, plan: StepPlan) -> list[Sequence]:
        """Everyone in this step: decoding sequences, then one for each chunk."""
        return [*self._scheduler.decoding, *self._scheduler.prefilling[: len(plan.chunks)]]

    def _deliver(self, plan: StepPlan, batch: list[Sequence], logits: torch.Tensor) -> None:
        """Sort the rows to their sequences, sample, and tell everyone."""
        rows = list(range(len(plan.decode)))
        takers = batch[: len(rows)]
        at = len(rows)
        for chunk, sequence in zip(plan.chunks, batch[len(rows) :], strict=True):
            if chunk.every_row:
                self._score_prompt(sequence, chunk.start, chunk.tokens, logits[at:])
            at += chunk.rows
            if chunk.last:
                rows.append(at - 1)
                takers.append(sequence)
        if not takers:
            return
        picked = logits if len(rows) == logits.shape[0] else logits[rows]
        for sequence, choice in zip(takers, sample(picked, takers), strict=True):
            self._accept(sequence, choice)

    def _score_prompt(
        self, sequence: Sequence, start: int, tokens: list[int], rows: torch.Tensor
    ) -> None:
        """Log-probabilities of the prompt's own tokens, for `echo`."""
        if start == 0:
            sequence.prompt_scores.append(TokenScore(tokens[0], None))
        top = sequence.params.top_logprobs or 0
        following = sequence.prompt[start + 1 : start + len(tokens) + 1]
        for row, token in zip(rows, following, strict=False):
            sequence.prompt_scores.append(score(row, token, top))

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
        choice = sample(runner.forward(plan), [sequence])[0]
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
        moves = self._scheduler.remove(sequence)
        if slot is not None:
            self.runner.release(slot, wipe=wipe)
        for move in moves:
            self.runner.move(move)
        with self._wake:
            self._live -= 1

    def _tell(self, sequence: Sequence, event: Delta | Ended) -> None:
        try:
            sequence.sink(event)
        except Exception as error:
            # The one who asked is gone (its event loop closed): nobody else must suffer.
            self._log(f"an answer could not be delivered: {type(error).__name__}: {error}")
            sequence.cancelled = self._cancellations = True


def _nobody(event: Delta | Ended) -> None:
    """The sink of the readiness token."""
