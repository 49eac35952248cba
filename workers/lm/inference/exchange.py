"""One generation request from checked body to last event, independent of HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .answers import Answer
from .ask import Ask, Ticket
from .backend import Backend
from .errors import ServingError
from .events import Delta, Ended, Event
from .prompts import PromptBuilder
from .protocol import Call


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

    def __init__(self, engine: Backend, call: Call, record: RequestEnd, fingerprint: str) -> None:
        self.call = call
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
        built = await asyncio.to_thread(builder.build, self.call)
        asks = [Ask(prompt, params) for prompt, params in built]
        prompts = [ask.prompt for ask in asks]
        self.answer = Answer(self.call, prompts, self._engine.decoder, self._fingerprint)
        self._sequences = self._engine.submit(asks, self._push, choices=self.call.choices)
        self._open = len(self._sequences)

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
