"""The model server's ASGI application: OpenAI's routes, health and drain behind one secret."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .answers import DONE, event
from .backend import Backend
from .caller import read_caller
from .errors import Draining, GenerationFailed, ServingError
from .events import Delta
from .exchange import Exchange, RequestEnd, RequestEndHook
from .http import Disconnected, HttpCall, Receive, Scope, Send
from .prompts import PromptBuilder
from .protocol import Call, parse_chat, parse_completion

Handler = Callable[[HttpCall], Awaitable[None]]
_CLIENT_GONE = 499  # nginx's status for a client that hung up; only ever logged


class App:
    """ASGI 3; one instance a process."""

    def __init__(
        self,
        engine: Backend,
        builder: PromptBuilder,
        *,
        secret: str,
        name: str,
        fingerprint: str,
        about: dict[str, Any],
        on_request_end: RequestEndHook | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._engine = engine
        self._builder = builder
        self._secret = secret.encode()
        self._name = name
        self._fingerprint = fingerprint
        self._about = about
        self._created = int(time.time())
        self._on_request_end = on_request_end or (lambda record: None)
        self._log = log or (lambda line: None)
        self.active = 0
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/v1/models"): self._models,
            ("GET", "/health"): self._health,
            ("POST", "/drain"): self._drain,
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): self._completions,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        http = HttpCall(scope, receive, send)
        self.active += 1
        try:
            http.check_secret(self._secret)
            await self._handler(http)(http)
        except ServingError as error:
            await http.refuse(error)
        except Disconnected:
            pass
        except Exception as error:
            self._log(f"{http.request_id}: {type(error).__name__}: {error}")
            if not http.status:
                await http.refuse(GenerationFailed("The model server failed."))
        finally:
            self.active -= 1

    def _handler(self, http: HttpCall) -> Handler:
        handler = self._routes.get((http.method, http.path))
        if handler is not None:
            return handler
        if any(path == http.path for _, path in self._routes):
            raise ServingError(
                405,
                f"{http.method} is not allowed on {http.path[:200]}.",
                code="method_not_allowed",
            )
        raise ServingError(404, f"There is no {http.path[:200]} here.", code="unknown_url")

    async def _models(self, http: HttpCall) -> None:
        model = {
            "id": self._name,
            "object": "model",
            "created": self._created,
            "owned_by": "slipway",
            "max_model_len": self._engine.context_length,
        }
        await http.answer(200, {"object": "list", "data": [model]})

    async def _health(self, http: HttpCall) -> None:
        stats = self._engine.stats().as_dict()
        body = {
            **stats,
            "model": self._name,
            "fingerprint": self._fingerprint,
            "slots": self._engine.max_slots,
            "max_waiting": self._engine.max_waiting,
            "context_length": self._engine.context_length,
            "mode": self._engine.mode,
            **self._about,
        }
        await http.answer(503 if stats["state"] == "failed" else 200, body)

    async def _drain(self, http: HttpCall) -> None:
        self._engine.drain()
        stats = self._engine.stats()
        body = {"state": stats.state, "running": stats.running, "waiting": stats.waiting}
        await http.answer(202, body)

    async def _chat(self, http: HttpCall) -> None:
        await self._generate(http, parse_chat)

    async def _completions(self, http: HttpCall) -> None:
        await self._generate(http, parse_completion)

    async def _generate(self, http: HttpCall, parse: Callable[[Any], Call]) -> None:
        record = RequestEnd(request_id=http.request_id, route=http.path)
        started = time.monotonic()
        try:
            body = await http.json()
            if self._engine.state != "ready":
                raise Draining
            caller = read_caller(http)
            exchange = Exchange(self._engine, parse(body), caller, record, self._fingerprint)
            await exchange.start(self._builder)
            await self._respond(http, exchange)
        except ServingError as error:
            if not record.total_ms:
                record.status, record.error_code = error.status, error.code
                record.total_ms = round((time.monotonic() - started) * 1000, 3)
            raise
        except Disconnected:
            record.outcome, record.status = "cancelled", _CLIENT_GONE
            raise
        finally:
            self._report(record)

    async def _respond(self, http: HttpCall, exchange: Exchange) -> None:
        """Run the exchange to its end; a client that hangs up cancels it."""
        gone = asyncio.create_task(self._cancel_when_gone(http, exchange))
        outcome = "failed"
        try:
            if exchange.call.stream:
                await self._stream(http, exchange, gone)
            else:
                await self._whole(http, exchange)
            outcome = "failed" if exchange.error else "completed"
        finally:
            if gone.done() and outcome != "completed" and exchange.error is None:
                outcome = "cancelled"
            left = outcome == "cancelled"
            status = exchange.error.status if exchange.error else http.status or 200
            exchange.close(outcome, _CLIENT_GONE if left else status)
            gone.cancel()
            exchange.release()

    async def _cancel_when_gone(self, http: HttpCall, exchange: Exchange) -> None:
        await http.wait_for_disconnect()
        exchange.cancel()

    async def _whole(self, http: HttpCall, exchange: Exchange) -> None:
        async for deltas in exchange.batches():
            for delta in deltas:
                exchange.answer.take(delta)
        self._raise_if_unfinished(exchange)
        times = exchange.note_times()
        await http.answer(200, exchange.answer.whole(), times)

    async def _stream(self, http: HttpCall, exchange: Exchange, gone: asyncio.Task[None]) -> None:
        """Nothing is sent before the first token, so that an early failure has its status."""
        answer = exchange.answer
        async for deltas in exchange.batches():
            if not http.status and deltas:
                times = exchange.note_times()
            said = b"".join(self._event(exchange, delta) for delta in deltas)
            if not said or exchange.error is not None or gone.done():
                continue
            if not http.status:
                await http.start_stream(times)
            await http.stream(said)
        if not http.status:
            self._raise_if_unfinished(exchange)
        if exchange.error is not None:
            # The stream has begun: say what happened, and leave no [DONE] behind it.
            await http.stream(event(exchange.error.body()), last=True)
            return
        self._raise_if_unfinished(exchange)
        if not http.status:  # every choice was over when the answer was taken over
            await http.start_stream(exchange.note_times())
        usage = event(answer.usage_chunk()) if exchange.call.include_usage else b""
        await http.stream(usage + DONE, last=True)

    def _event(self, exchange: Exchange, delta: Delta) -> bytes:
        chunk = exchange.answer.chunk(delta)
        if chunk is None:
            return b""
        named = exchange.answer.names(delta) if exchange.caller.names_tokens else b""
        return named + event(chunk)

    def _raise_if_unfinished(self, exchange: Exchange) -> None:
        if exchange.error is not None:
            raise exchange.error
        if any(choice.finish is None for choice in exchange.answer.choices):
            raise Disconnected

    def _report(self, record: RequestEnd) -> None:
        try:
            self._on_request_end(record)
        except Exception as error:
            self._log(f"reporting a request's end failed: {type(error).__name__}: {error}")
