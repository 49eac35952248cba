"""Copies of requests to a revision under test, whose answers nobody gets and one record keeps."""

import asyncio
import json
import logging
import time
from collections.abc import Callable

from console.gateway.answering import note_answer
from console.gateway.decision import Decision, Target
from console.gateway.errors import GatewayError
from console.gateway.http import HttpCall
from console.gateway.keys import Key
from console.gateway.openai import Ask
from console.gateway.records import Record
from console.gateway.seats import Seats, Wanted
from console.gateway.streams import Usage
from console.gateway.upstream import ReplicaFailed, Upstream, whole

logger = logging.getLogger(__name__)
#: Copies under way at most; what comes beyond is not copied, and the callers notice nothing.
AT_ONCE = 32
#: A copy that finds no free replica at once is not worth waiting for.
PATIENCE_S = 0.5
DEADLINE_S = 120.0


class Mirror:
    """Sends copies in the background."""

    def __init__(self, seats: Seats, upstream: Upstream, keep: Callable[[Record], None]) -> None:
        self._seats = seats
        self._upstream = upstream
        self._keep = keep
        self._running: set[asyncio.Task[None]] = set()

    def send(self, decision: Decision, call: HttpCall, ask: Ask, key: Key, record: Record) -> None:
        """Send the copies that were decided on. Returns at once."""
        for target in decision.mirrors:
            if len(self._running) >= AT_ONCE:
                return
            copy = Record(record.request_id, key.user_id, key.prefix, record.endpoint)
            copy.mirrored, copy.model, copy.rule = True, ask.model, decision.rule
            copy.deployment_id, copy.adapter = target.route.deployment_id, target.adapter
            copy.revision_id = target.arm.revision_id if target.arm else None
            task = asyncio.create_task(self._send(target, call.path, ask, key, copy))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        """End all copies."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _send(self, target: Target, path: str, ask: Ask, key: Key, record: Record) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._ask(target, path, ask, key, record)
        except GatewayError as error:
            record.status, record.outcome = error.status, error.code
        except ReplicaFailed as error:
            record.status, record.outcome, record.detail = 502, "replica_failed", str(error)[:300]
        except TimeoutError:
            record.status, record.outcome = 504, "deadline_exceeded"
        except Exception:
            logger.exception("a copy of %s failed", record.request_id)
            record.status, record.outcome = 500, "internal_error"
        record.total_ms = round((time.monotonic() - began) * 1000, 3)
        self._keep(record)

    async def _ask(self, target: Target, path: str, ask: Ask, key: Key, record: Record) -> None:
        # Whole, also where the caller has a stream: nobody waits for the first token.
        skipped = ("stream", "stream_options")
        fields = {name: value for name, value in ask.fields.items() if name not in skipped}
        copy = Ask(ask.model, False, json.dumps(fields).encode(), Usage.KEEP, fields)
        decision = Decision((target,), priority="low")
        wanted = Wanted(copy, key, decision, target, time.monotonic() + DEADLINE_S)
        wanted.patience_s = PATIENCE_S
        seat = await self._seats.take(wanted)
        record.replica_id, record.revision_id = seat.replica.id, seat.arm.revision_id
        headers = {
            "x-request-id": record.request_id,
            "x-slipway-tenant": key.tenant,
            "x-slipway-priority": "low",
            "x-slipway-deadline-ms": str(int(DEADLINE_S * 1000)),
        }
        if target.adapter:
            headers["x-slipway-adapter"] = target.adapter
        tokens = None
        try:
            async with self._upstream.ask(seat.replica, path, copy.body, headers) as response:
                note_answer(record, await whole(response))
                record.status = response.status
            if record.status == 200:
                tokens = (record.prompt_tokens, record.completion_tokens)
        finally:
            seat.leave(tokens)
