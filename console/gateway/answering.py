"""A replica's answer on its way to the client, whole or as a stream, and what is recorded of it."""

import json
import re
import time
from typing import Any

import aiohttp

from console.gateway import errors
from console.gateway.cache import Entry
from console.gateway.errors import GatewayError
from console.gateway.http import EVENTS, HttpCall
from console.gateway.openai import Ask
from console.gateway.records import Record
from console.gateway.replicas import Replica
from console.gateway.streams import EventStream, usage_tokens
from console.gateway.upstream import Lost, Unreachable, passed_on, whole
from models_app.deployments import replica_headers


class Answering:
    """The client's side of one generation, whichever replica answers in the end."""

    def __init__(self, call: HttpCall, ask: Ask, record: Record) -> None:
        self._call = call
        self._ask = ask
        self._record = record
        self._started = time.monotonic()
        #: The stream that runs to the client, if one does.
        self.stream: EventStream | None = None
        #: Nobody else can be asked: a failure of the replica is passed on as it is.
        self.final = True
        #: Whether the answer may be kept, and where it goes if it is complete.
        self.entry: Entry | None = None
        self._body: bytes | None = None

    def tokens(self) -> tuple[int, int] | None:
        """(prompt, completion) of an answer that is complete; None where there is no such."""
        record = self._record
        if record.status != 200:
            return None
        if self.stream is not None:
            return self.stream.tokens()
        return record.prompt_tokens, record.completion_tokens

    async def take(self, replica: Replica, response: aiohttp.ClientResponse) -> None:
        """Pass the answer on. Raises Unreachable with nothing sent, Lost in a stream that runs,
        GatewayError where another target should answer.
        """
        if self.stream is not None:
            await self._go_on(replica, response)
            return
        self._note_parts(response)
        if response.status >= 500 and not self.final:
            raise errors.replica_failed(self._ask.model)
        if self._ask.stream and response.status == 200:
            await self._pass_stream(replica, response)
        else:
            await self._pass_whole(replica, response)

    def keep(self) -> None:
        """Keep the answer for equal requests, if it is a whole one and may be kept."""
        if self.entry is None:
            return
        stream, body = self.stream, self._body
        if stream is not None and stream.done and not stream.failed and stream.kept:
            body = b"".join(stream.kept)
        if body is None or self._record.status != 200:
            self.entry.give_up()
        else:
            self.entry.keep(body)

    async def repeat(self, body: bytes) -> None:
        """Give an answer that was kept."""
        record, call, ask = self._record, self._call, self._ask
        record.status, record.cache = 200, "hit"
        if not ask.stream:
            note_answer(record, body)
            await call.answer(200, body, *self._told())
            return
        self.stream = stream = EventStream(ask.usage)
        data = stream.feed(body)
        record.outcome = stream.finish
        record.first_token_ms = _ms(self._started)
        await call.start(200, EVENTS, (b"x-accel-buffering", b"no"), *self._told())
        await call.write(data, last=True)

    def _note_parts(self, response: aiohttp.ClientResponse) -> None:
        """What the replica says of its own share of the latency."""
        record, headers = self._record, response.headers
        record.queue_ms = _number(headers.get(replica_headers.QUEUE_MS))
        record.prefill_ms = _number(headers.get(replica_headers.PREFILL_MS))
        cached = _number(headers.get(replica_headers.CACHED_TOKENS))
        record.cached_tokens = int(cached or 0)

    def _told(self) -> list[tuple[bytes, bytes]]:
        """Headers that say what was done instead of what was asked."""
        record = self._record
        told = [(b"x-degraded", record.degraded.encode())] if record.degraded else []
        if record.cache:
            told.append((b"x-cache", record.cache.encode()))
        return told

    async def _pass_whole(self, replica: Replica, response: aiohttp.ClientResponse) -> None:
        body = await whole(response)
        replica.worked()
        record, status = self._record, response.status
        record.status = status
        note_answer(record, body)
        if self.entry is not None:
            self._body = body
        took = b"%d" % ((time.monotonic() - self._started) * 1000)
        extra = (b"openai-processing-ms", took)
        await self._call.answer(status, body, extra, *passed_on(response), *self._told())

    async def _pass_stream(self, replica: Replica, response: aiohttp.ClientResponse) -> None:
        """Nothing is sent before the first whole event: until then another can take over."""
        stream, call = EventStream(self._ask.usage), self._call
        if self.entry is not None:
            stream.kept = []
        try:
            await self._pass_events(replica, response, stream)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not call.status:
                raise Unreachable(type(error).__name__) from error
            replica.eject()
        if not call.status:
            raise Unreachable("the stream ended before it began")
        await self._finish(stream)

    async def _go_on(self, replica: Replica, response: aiohttp.ClientResponse) -> None:
        """The rest of a stream that another replica began. Raises Unreachable or Lost."""
        if self.stream is None or response.status != 200:
            raise Unreachable(f"status {response.status}")
        # The headers are long gone: a comment of the stream says what one of them would have said.
        await self._call.write(b": x-resumed: %d\n\n" % self._record.resumes)
        try:
            await self._pass_events(replica, response, self.stream)
        except (aiohttp.ClientError, OSError, ValueError):
            replica.eject()
        await self._finish(self.stream)

    async def _pass_events(
        self, replica: Replica, response: aiohttp.ClientResponse, stream: EventStream
    ) -> None:
        call, record, heard = self._call, self._record, False
        while chunk := await response.content.readany():
            data = stream.feed(chunk)
            if not data:
                continue
            if not heard:
                heard = True
                replica.worked()
            if not call.status:
                self.stream = stream
                record.status = 200
                record.first_token_ms = _ms(self._started)
                await call.start(200, EVENTS, (b"x-accel-buffering", b"no"), *self._told())
            replica.good_at = time.monotonic()
            await call.write(data)

    async def _finish(self, stream: EventStream) -> None:
        call, record = self._call, self._record
        if not (stream.done or stream.failed):
            raise Lost
        record.outcome = stream.finish
        if stream.failed:
            record.status, record.outcome = 500, "replica_error"
        await call.write(b"", last=True)


def stream_error(error: GatewayError, stream: EventStream) -> bytes:
    """The last event of a stream that broke: stock clients raise on it, and no [DONE] follows."""
    body = error.body(retryable=error.retry_after is not None, tokens_sent=stream.tokens()[1])
    return b"event: error\ndata: " + body + b"\n\n"


def note_answer(record: Record, body: bytes) -> None:
    """What the record keeps of a whole answer: tokens and how it ended, nothing of its text."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        record.outcome = "unreadable"
        return
    error = answer.get("error")
    if isinstance(error, dict):
        record.outcome = _word(error.get("code") or "error")
        # Never its message: it may quote the request.
        if param := _word(error.get("param")):
            record.detail = f"{record.detail}; {param}" if record.detail else f"param {param}"
        return
    record.prompt_tokens, record.completion_tokens = usage_tokens(answer.get("usage"))
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        record.outcome = _word(choices[0].get("finish_reason"))


def _word(value: object) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "", value)[:40] if isinstance(value, str) else ""


def _number(text: str | None) -> float | None:
    """A count or milliseconds in a header; None for whatever is not one."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 2**31 else None


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 3)
