"""One generation request from checked body to last event, independent of HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import headers
from .answers import Answer
from .ask import Ask, Ticket
from .backend import Backend
from .caller import Caller
from .errors import ServingError
from .events import Delta, Ended, Event
from .params import SamplingParams
from .prompts import PromptBuilder
from .protocol import Call
from .resuming import Resumed


@dataclass(slots=True)
class RequestEnd:
    """What is known of a request when it is over; exact also where the client hung up.

    `outcome` is completed, cancelled (the client left), failed or refused. Prompt tokens
    count from the moment the model has begun to read the prompt.
    """

    request_id: str
    route: str
    model: str = ""
    outcome: str = "refused"
    status: int = 0
    error_code: str | None = None
    stream: bool = False
    choices: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_ms: float | None = None
    total_ms: float = 0.0
    finish_reasons: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For a log line or a message."""
        return asdict(self)


RequestEndHook = Callable[[RequestEnd], None]


class Exchange:
    """Submits a call to the engine and brings its events to the event loop."""

    def __init__(
        self, engine: Backend, call: Call, caller: Caller, record: RequestEnd, fingerprint: str
    ) -> None:
        self.call = call
        self.caller = caller
        self.record = record
        self._engine = engine
        self._fingerprint = fingerprint
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._sequences: Sequence[Ticket] = ()
        self._open = 0
        self._computed = False
        self._started = time.monotonic()
        self.error: ServingError | None = None
        self.answer: Answer
        record.model, record.stream, record.choices = call.model, call.stream, call.choices

    async def start(self, builder: PromptBuilder) -> None:
        """Tokenize off the loop and queue; raises `ServingError` before anything runs."""
        built = await asyncio.to_thread(builder.build, self.call, self.caller.adapter)
        prompts = [prompt for prompt, _ in built]
        self.answer = Answer(self.call, prompts, self._engine.decoder, self._fingerprint)
        if self.call.resumed is None:
            asks, choices = [self._ask(*item) for item in built], self.call.choices
        else:
            asks, choices = self._rest(built, self.call.resumed), 1
        if asks:
            self._sequences = self._engine.submit(asks, self._push, choices=choices)
        self._open = len(self._sequences)

    def _ask(
        self,
        prompt: list[int],
        params: SamplingParams,
        *,
        prior: tuple[int, ...] = (),
        number: int | None = None,
        stream: int = 0,
    ) -> Ask:
        caller = self.caller
        return Ask(
            prompt,
            params,
            tenant=caller.tenant,
            priority=caller.priority,
            deadline=caller.deadline,
            adapter=caller.adapter,
            prior=prior,
            number=number,
            stream=stream,
        )

    def _rest(self, built: list[tuple[list[int], SamplingParams]], resumed: Resumed) -> list[Ask]:
        """The choices that are not over, each from where its reader is."""
        asks, each = [], self.call.choices
        for number, begun in enumerate(resumed.choices):
            if begun is None or begun.done is None:
                prior = begun.tokens if begun is not None else ()
                prompt, params = built[number // each]
                ask = self._ask(prompt, params, prior=prior, number=number, stream=number % each)
                asks.append(ask)
        return asks

    def note_times(self) -> list[tuple[bytes, bytes]]:
        """What the gateway is told of the way to the first token, and the usage of the cache."""
        queued = [ticket.queue_ms for ticket in self._sequences if ticket.queue_ms is not None]
        read = [ticket.prefill_ms for ticket in self._sequences if ticket.prefill_ms is not None]
        each = self.call.choices
        cached: dict[int, int] = {}
        for ticket in self._sequences:
            prompt = ticket.choice // each
            cached[prompt] = min(cached.get(prompt, ticket.cached_tokens), ticket.cached_tokens)
        self.answer.cached_tokens = sum(cached.values())
        return [
            (headers.QUEUE_MS.encode(), b"%.3f" % max(queued, default=0.0)),
            (headers.PREFILL_MS.encode(), b"%.3f" % max(read, default=0.0)),
            (headers.CACHED_TOKENS.encode(), b"%d" % self.answer.cached_tokens),
        ]

    def _push(self, event: Event) -> None:
        """Called on the engine's thread."""
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def cancel(self) -> None:
        """Give all choices up; `batches` still runs to their last events."""
        self._engine.cancel(self._sequences)

    def release(self) -> None:
        """The answer is not awaited any more: nothing may go on computing it."""
        if self._open:
            self.cancel()

    async def batches(self) -> AsyncIterator[list[Delta]]:
        """Deltas as they come, those that came together in one list.

        Ends when every choice has ended. A failed choice cancels its siblings and leaves
        its error in `error`.
        """
        while self._open:
            events = await self._next()
            yield [event for event in events if isinstance(event, Delta)]

    async def _next(self) -> list[Event]:
        events = [await self._events.get()]
        while not self._events.empty():
            events.append(self._events.get_nowait())
        for event in events:
            self._note(event)
        return events

    def _note(self, event: Event) -> None:
        record = self.record
        if isinstance(event, Delta):
            self._computed = True
            if record.first_token_ms is None:
                record.first_token_ms = self._elapsed()
            if event.finish is not None:
                self._open -= 1
                record.finish_reasons.append(event.finish)
            return
        self._ended(event)

    def _ended(self, event: Ended) -> None:
        """Count what was sampled; the first failure ends the other choices too."""
        self._open -= 1
        self._computed |= event.prompt_computed
        self.answer.choices[event.choice].tokens = event.completion_tokens
        if event.error is not None and self.error is None:
            self.error = event.error
            self.cancel()

    def _elapsed(self) -> float:
        return round((time.monotonic() - self._started) * 1000, 3)

    def close(self, outcome: str, status: int) -> None:
        """Fill in the record."""
        record = self.record
        record.outcome, record.status, record.total_ms = outcome, status, self._elapsed()
        if self.error is not None:
            record.error_code = self.error.code
        if hasattr(self, "answer"):
            usage = self.answer.usage()
            record.prompt_tokens = usage["prompt_tokens"] if self._computed else 0
            record.completion_tokens = usage["completion_tokens"]
