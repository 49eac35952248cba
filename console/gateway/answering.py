"""A replica's answer on its way to the client, whole or as a stream, and what is recorded of it."""

import json
import re
import time
from typing import Any

import aiohttp

from console.gateway import errors
from console.gateway.errors import GatewayError
from console.gateway.http import EVENTS, HttpCall
from console.gateway.openai import Ask
from console.gateway.records import Record
from console.gateway.replicas import Replica
from console.gateway.streams import EventStream, usage_tokens
from console.gateway.upstream import Lost, Unreachable, passed_on, whole


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
        self._note_parts(response)
        if response.status >= 500 and not self.final:
            raise errors.replica_failed(self._ask.model)
        if self._ask.stream and response.status == 200:
            await self._pass_stream(replica, response)
        else:
            await self._pass_whole(replica, response)

    def _note_parts(self, response: aiohttp.ClientResponse) -> None:
        """What the replica says of its own share of the latency."""
        record, headers = self._record, response.headers
        record.queue_ms = _number(headers.get("x-slipway-queue-ms"))
        record.prefill_ms = _number(headers.get("x-slipway-prefill-ms"))
        record.cached_tokens = int(_number(headers.get("x-slipway-cached-tokens")) or 0)

    def _told(self) -> list[tuple[bytes, bytes]]:
        """Headers that say what was done instead of what was asked."""
        label = self._record.degraded
        return [(b"x-slipway-degraded", label.encode())] if label else []

    async def _pass_whole(self, replica: Replica, response: aiohttp.ClientResponse) -> None:
        body = await whole(response)
        replica.worked()
        record, status = self._record, response.status
        record.status = status
        _note_answer(record, body)
        took = b"%d" % ((time.monotonic() - self._started) * 1000)
        extra = (b"openai-processing-ms", took)
        await self._call.answer(status, body, extra, *passed_on(response), *self._told())

    async def _pass_stream(self, replica: Replica, response: aiohttp.ClientResponse) -> None:
        """Nothing is sent before the first whole event: until then another can take over."""
        stream, call, record = EventStream(self._ask.usage), self._call, self._record
        try:
            async for chunk in response.content.iter_any():
                data = stream.feed(chunk)
                if not data:
                    continue
                if not call.status:
                    replica.worked()
                    self.stream = stream
                    record.status = 200
                    record.first_token_ms = _ms(self._started)
                    await call.start(200, EVENTS, (b"x-accel-buffering", b"no"), *self._told())
                replica.good_at = time.monotonic()
                await call.write(data)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not call.status:
                raise Unreachable(type(error).__name__) from error
            replica.eject()
        if not call.status:
            raise Unreachable("the stream ended before it began")
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


def _note_answer(record: Record, body: bytes) -> None:
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
