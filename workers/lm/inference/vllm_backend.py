"""vLLM behind the server's interface: it schedules and samples, text and stops stay ours.

Written against vLLM 0.30's `LLMEngine` (add_request, step, abort_request).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from workers.lm.formats.base import has_package

from .ask import Ask
from .deltas import extend, replay
from .detokenize import TokenizerText, TokenText
from .errors import (
    BadRequest,
    DeadlinePassed,
    Draining,
    GenerationFailed,
    ModelRefused,
    QueueFull,
    ServerStopped,
    ServingError,
)
from .events import Delta, Ended, Sink, TokenScore
from .fair import FairQueue
from .gauges import EngineStats, Gauges
from .output import Output
from .sequence import Sequence

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .server import ServeOptions

_IDLE_WAIT = 0.5
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Core(Protocol):
    """What is used of vLLM's `LLMEngine`."""

    def add_request(self, request_id: str, prompt: Any, params: Any) -> Any:
        """Queue token ids."""

    def step(self) -> list[Any]:
        """Compute one step; what is new of each request."""

    def abort_request(self, request_ids: list[str]) -> None:
        """Give requests up."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes of the model and of the server."""

    vocab_size: int
    context_length: int
    max_slots: int
    max_waiting: int


class VllmBackend:
    """See `backend.Backend`. vLLM never holds more than `max_slots`; the rest waits here."""

    mode = "vllm"
    cache_bytes = 0

    def __init__(
        self,
        core: Core,
        make_params: Callable[..., Any],
        decoder: TokenText,
        eos_ids: Iterable[int],
        limits: Limits,
        log: Callable[[str], None],
    ) -> None:
        self.decoder = decoder
        self.eos_ids = frozenset(eos_ids)
        self.vocab_size = limits.vocab_size
        self.context_length = limits.context_length
        self.max_slots = limits.max_slots
        self.max_waiting = limits.max_waiting
        self.broken: str | None = None
        self.gauges = Gauges()
        self._core = core
        self._make_params = make_params
        self._log = log
        self._numbers = count()
        self._queue = FairQueue()
        self._running: dict[str, Sequence] = {}
        self._wake = threading.Condition()
        self._inbox: deque[Sequence] = deque()
        self._live = 0
        self._draining = False
        self._stopping = False

    # ---- asked from any thread -------------------------------------------------------------

    def submit(self, asks: list[Ask], sink: Sink, *, choices: int = 1) -> list[Sequence]:
        """See `backend.Backend`."""
        for ask in asks:
            _refuse_unserved(ask)
        sequences = [
            self._sequence(ask, sink, index * choices + j, j)
            for index, ask in enumerate(asks)
            for j in range(choices)
        ]
        with self._wake:
            if self._draining or self._stopping or self.broken:
                raise Draining
            room = self.max_slots + self.max_waiting - self._live
            if len(sequences) > room:
                waiting = max(0, self._live - self.max_slots)
                raise QueueFull(waiting, self.gauges.retry_after(waiting, self.max_slots))
            self._live += len(sequences)
            self._inbox.extend(sequences)
            self._wake.notify()
        return sequences

    def cancel(self, sequences: Iterable[Sequence]) -> None:
        """See `backend.Backend`."""
        with self._wake:
            for sequence in sequences:
                sequence.cancelled = True
            self._wake.notify()

    def drain(self) -> None:
        """See `backend.Backend`."""
        with self._wake:
            self._draining = True

    def stop(self) -> None:
        """See `backend.Backend`."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    @property
    def live(self) -> int:
        """See `backend.Backend`."""
        return self._live

    @property
    def state(self) -> str:
        """See `backend.Backend`."""
        if self.broken:
            return "failed"
        return "draining" if self._draining or self._stopping else "ready"

    def stats(self) -> EngineStats:
        """See `backend.Backend`."""
        running = len(self._running)
        return self.gauges.snapshot(
            state=self.state, running=running, waiting=max(0, self._live - running)
        )

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
        )
        if ask.prior:
            replay(sequence, ask.prior, self.eos_ids, self.context_length)
        return sequence

    # ---- the engine's thread ---------------------------------------------------------------

    def prove(self) -> int:
        """See `backend.Backend`."""
        wanted = self._make_params(max_tokens=1, temperature=0.0, detokenize=False)
        self._core.add_request("proof", {"prompt_token_ids": [0]}, wanted)
        while True:
            for output in self._core.step():
                if output.finished:
                    return int(output.outputs[0].token_ids[0])

    def run(self) -> None:
        """See `backend.Backend`."""
        while not self._stopping and not self.broken:
            with self._wake:
                if not self._inbox and not self._running and not len(self._queue):
                    self._wake.wait(_IDLE_WAIT)
            self.step()
        stopped = ServerStopped()
        with self._wake:
            self._stopping = True
        self._take_in()
        for sequence in [*self._running.values(), *self._queue]:
            self._end(sequence, stopped)

    def step(self) -> bool:
        """Admit, compute, deliver. False where there was nothing to compute."""
        self._take_in()
        self._give_up()
        while len(self._running) < self.max_slots and (head := self._queue.first()) is not None:
            self._queue.remove(head)
            self._begin(head)
        if not self._running:
            return False
        try:
            outputs = self._core.step()
        except Exception as error:  # vLLM's engine does not survive an error of a step
            self.broken = f"{type(error).__name__}: {error}"
            self._log(f"vLLM failed, stopping: {self.broken}")
            failure = GenerationFailed("The model failed while computing this answer.")
            for sequence in list(self._running.values()):
                self._end(sequence, failure)
            return True
        self.gauges.steps += 1
        for output in outputs:
            taker = self._running.get(output.request_id)
            if taker is not None:
                self._deliver(taker, output)
        return True

    def _take_in(self) -> None:
        with self._wake:
            while self._inbox:
                self._queue.add(self._inbox.popleft())

    def _give_up(self) -> None:
        """Those that were cancelled, and those whose time is over before they have begun."""
        for sequence in [*self._running.values(), *self._queue]:
            if sequence.cancelled:
                self._end(sequence, None)
        for sequence in self._queue.late():
            self._end(sequence, DeadlinePassed(time.monotonic() - sequence.submitted_at))

    def _begin(self, sequence: Sequence) -> None:
        name = str(next(self._numbers))
        prompt: dict[str, Any] = {"prompt_token_ids": sequence.source}
        if sequence.tenant:
            prompt["cache_salt"] = sequence.tenant
        sequence.started_at = time.monotonic()
        self._running[name] = sequence
        try:
            self._core.add_request(name, prompt, self._params(sequence))
        except Exception as error:
            # It checks what it is asked for; what it refuses concerns this request alone.
            line = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            del self._running[name]
            self._end(sequence, BadRequest(f"vLLM refuses this request: {line}"))

    def _params(self, sequence: Sequence) -> Any:
        """Ours, as vLLM calls them; stop strings are found by us."""
        params, said = sequence.params, len(sequence.tokens)
        room = self.context_length - len(sequence.prompt) - said
        return self._make_params(
            max_tokens=max(1, min(params.max_tokens - said, room)),
            temperature=params.temperature,
            top_p=params.top_p if params.top_p > 0 else 1.0,
            top_k=1 if params.top_p == 0 else params.top_k,
            min_p=params.min_p,
            presence_penalty=params.presence_penalty,
            frequency_penalty=params.frequency_penalty,
            repetition_penalty=params.repetition_penalty,
            logit_bias=dict(params.logit_bias) or None,
            seed=_seed(sequence),
            logprobs=params.top_logprobs,
            stop_token_ids=None if params.ignore_eos else sorted(self.eos_ids),
            ignore_eos=True,
            detokenize=False,
            output_kind=_delta_kind(),
        )

    def _deliver(self, sequence: Sequence, output: Any) -> None:
        new = output.outputs[0]
        sequence.cached_tokens = output.num_cached_tokens or 0
        sequence.computed = len(sequence.source)
        scores = new.logprobs or [None] * len(new.token_ids)
        for token, row in zip(new.token_ids, scores, strict=True):
            self.gauges.sampled(sequence)
            score = None if row is None else _score(token, row, sequence.params.top_logprobs or 0)
            try:
                delta = extend(sequence, (token, score), self.eos_ids, self.context_length)
            except Exception as error:
                self._log(f"decoding the answer failed: {type(error).__name__}: {error}")
                self._end(sequence, GenerationFailed("The answer could not be decoded."))
                return
            if delta.finish is not None:
                self._remove(sequence, abort=not output.finished)
                self.gauges.finished(sequence, "completed")
            self._tell(sequence, delta)
            if delta.finish is not None:
                return
        if output.finished:
            said = f"vLLM ended the answer: {new.finish_reason}."
            self._end(sequence, GenerationFailed(said))

    def _end(self, sequence: Sequence, error: ServingError | None) -> None:
        """A sequence ends without an answer."""
        if sequence.ended:
            return
        computed = sequence.computed > 0
        self._remove(sequence, abort=True)
        self.gauges.finished(sequence, "cancelled" if error is None else "failed")
        self._tell(sequence, Ended(sequence.choice, len(sequence.tokens), computed, error))

    def _remove(self, sequence: Sequence, *, abort: bool) -> None:
        sequence.ended = True
        self._queue.remove(sequence)
        self._queue.left(sequence)
        for name in [name for name, row in self._running.items() if row is sequence]:
            del self._running[name]
            if abort and not self.broken:
                self._core.abort_request([name])
        with self._wake:
            self._live -= 1

    def _tell(self, sequence: Sequence, event: Delta | Ended) -> None:
        try:
            sequence.sink(event)
        except Exception as error:
            self._log(f"an answer could not be delivered: {type(error).__name__}: {error}")
            sequence.cancelled = True


def _refuse_unserved(ask: Ask) -> None:
    """What would be lost if it were passed over."""
    params = ask.params
    if params.grammar is not None:
        raise _unserved("response_format", "are not held to a form")
    if params.score_prompt or params.max_tokens == 0:
        raise _unserved("echo", "come without the prompt's log-probabilities")
    if ask.adapter:
        raise _unserved("model", "come from the base alone")
    if ask.prior and (params.presence_penalty or params.frequency_penalty):
        name = "presence_penalty" if params.presence_penalty else "frequency_penalty"
        raise _unserved(name, "cannot be continued with penalties")


def _unserved(param: str, why: str) -> BadRequest:
    said = f"'{param}' is not served by this model's engine, vllm: its answers {why}."
    return BadRequest(said, param=param)


def _seed(sequence: Sequence) -> int | None:
    """Of a choice and of where it begins; a greedy one needs none."""
    if sequence.params.temperature == 0:
        return None
    return int(sequence.draw() * 2**53)


def _delta_kind() -> Any:
    from vllm.sampling_params import RequestOutputKind

    return RequestOutputKind.DELTA


def _score(token: int, row: dict[int, Any], top: int) -> TokenScore:
    best = sorted(((one.logprob, number) for number, one in row.items()), reverse=True)[:top]
    return TokenScore(token, row[token].logprob, tuple((number, log) for log, number in best))


# ---- loading -------------------------------------------------------------------------------


def engine_arguments(options: ServeOptions, context_length: int) -> dict[str, Any]:
    """What vLLM's `EngineArgs` are told; anything else is its own default."""
    return {
        "model": str(options.model_dir),
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "dtype": _DTYPES[options.dtype],
        "max_model_len": context_length,
        "max_num_seqs": options.max_slots,
        "enable_prefix_caching": options.prefix_cache,
        "generation_config": "vllm",
        "disable_log_stats": True,
        "seed": 0,
    }


def load_vllm(
    options: ServeOptions,
    tokenizer: PreTrainedTokenizerBase,
    eos_ids: frozenset[int],
    context_length: int,
    vocab_size: int,
    log: Callable[[str], None],
) -> VllmBackend:
    """vLLM's engine over the model. Raises ModelRefused with the reason."""
    if not has_package("vllm"):
        raise ModelRefused(
            "This node does not have vLLM. Install it: pip install -r requirements/vllm.txt;"
            " then start its worker again."
        )
    if options.device == "cpu":
        raise ModelRefused("The engine vllm needs a GPU; choose the engine slipway here.")
    from vllm import EngineArgs, LLMEngine
    from vllm import SamplingParams as Params

    try:
        arguments = EngineArgs(**engine_arguments(options, context_length))
        core = LLMEngine.from_engine_args(arguments)
    except Exception as error:
        line = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ModelRefused(f"vLLM cannot serve this model: {line}") from error
    limits = Limits(
        vocab_size=vocab_size,
        context_length=context_length,
        max_slots=options.max_slots,
        max_waiting=options.max_waiting,
    )
    return VllmBackend(core, Params, TokenizerText(tokenizer), eos_ids, limits, log)
