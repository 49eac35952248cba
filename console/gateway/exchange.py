"""One generation: find a replica, pass its answer on, try another as long as nothing was sent."""

import json
import re
import time
from typing import Any

import aiohttp
from django.conf import settings

from console.gateway import errors
from console.gateway.balancing import full, pick
from console.gateway.errors import GatewayError
from console.gateway.http import EVENTS, HttpCall
from console.gateway.openai import Ask
from console.gateway.records import Record
from console.gateway.routes import Replica, Route, Routes
from console.gateway.streams import EventStream, usage_tokens
from console.gateway.upstream import (
    Lost,
    Refused,
    ReplicaFailed,
    Unreachable,
    Upstream,
    passed_on,
    whole,
)

MAX_RETRIES = 2
#: How long a request waits for a replica that starts or restarts.
WAIT_S = 5.0
#: Longest time between two looks while waiting; a change of the table wakes earlier.
LOOK_S = 0.25


class Exchange:
    """Runs once, inside an Interrupt."""

    def __init__(
        self, routes: Routes, upstream: Upstream, call: HttpCall, ask: Ask, record: Record
    ) -> None:
        self._routes = routes
        self._upstream = upstream
        self._call = call
        self._ask = ask
        self._record = record
        self._started = time.monotonic()
        self._tried: set[Replica] = set()
        self._refusal: Refused | None = None
        self.stream: EventStream | None = None

    async def run(self, route: Route) -> None:
        """Answer the call, or raise GatewayError with nothing sent."""
        while True:
            replica = pick(route, self._tried, settings.GATEWAY_REPLICA_LIMIT)
            if replica is None:
                route, replica = await self._wait(route)
            self._record.replica_id, self._record.revision_id = replica.id, route.revision_id
            replica.outstanding += 1
            try:
                await self._ask_replica(replica)
                return
            except ReplicaFailed as failure:
                self._again(replica, failure)
            finally:
                replica.outstanding -= 1
            route = self._current(route)

    def _again(self, replica: Replica, failure: ReplicaFailed) -> None:
        """Note the failure; raises GatewayError when enough has been tried."""
        self._tried.add(replica)
        if isinstance(failure, Refused):
            self._refusal = failure
            if failure.status == 503:
                replica.rest()
        else:
            replica.eject()
        if self._record.retries >= MAX_RETRIES:
            raise self._given_up()
        self._record.retries += 1

    def _given_up(self) -> GatewayError:
        if self._refusal is not None and self._refusal.status == 429:
            return errors.busy(self._ask.model, self._refusal.retry_after)
        return errors.no_replica(self._ask.model)

    async def _wait(self, route: Route) -> tuple[Route, Replica]:
        """A replica that becomes free or ready within a few seconds, or GatewayError."""
        limit = settings.GATEWAY_REPLICA_LIMIT
        if full(route, limit):
            raise errors.busy(self._ask.model)
        if self._refusal is not None and self._refusal.status == 429:
            raise self._given_up()
        waiting, deployment = self._routes.waiting, route.deployment_id
        if waiting[deployment] >= limit:
            raise errors.busy(self._ask.model)
        waiting[deployment] += 1
        try:
            return await self._look(route, time.monotonic() + WAIT_S)
        finally:
            waiting[deployment] -= 1

    async def _look(self, route: Route, until: float) -> tuple[Route, Replica]:
        self._tried.clear()
        while (left := until - time.monotonic()) > 0:
            await self._routes.changed(min(left, LOOK_S))
            route = self._current(route)
            replica = pick(route, self._tried, settings.GATEWAY_REPLICA_LIMIT)
            if replica is not None:
                return route, replica
        raise errors.no_replica(self._ask.model)

    def _current(self, route: Route) -> Route:
        """The deployment as it is now: a roll-out may have switched it."""
        fresh = self._routes.by_name.get(route.name)
        if fresh is None or fresh.deployment_id != route.deployment_id:
            raise errors.model_not_found(self._ask.model)
        return fresh

    async def _ask_replica(self, replica: Replica) -> None:
        call, ask = self._call, self._ask
        async with self._upstream.ask(replica, call.path, ask.body, call.request_id) as response:
            if ask.stream and response.status == 200:
                await self._pass_stream(replica, response)
            else:
                await self._pass_whole(replica, response)

    async def _pass_whole(self, replica: Replica, response: aiohttp.ClientResponse) -> None:
        body = await whole(response)
        replica.worked()
        record, status = self._record, response.status
        record.status = status
        _note_answer(record, body)
        took = b"%d" % ((time.monotonic() - self._started) * 1000)
        extra = (b"openai-processing-ms", took)
        await self._call.answer(status, body, extra, *passed_on(response))

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
                    await call.start(200, EVENTS, (b"x-accel-buffering", b"no"))
                await call.write(data)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not call.status:
                raise Unreachable(str(error)) from error
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


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 3)
