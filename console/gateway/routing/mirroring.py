"""Copies of requests that go to another target as well, whose answers nobody gets.

A copy is sent when the caller has its answer, never before: it takes nothing from the request that
it copies. It asks with low priority, waits for nobody, and is dropped where the target is busy or
enough copies are under way. Whether both said the same is recorded, what they said is not. Where a
judge is named it is asked after that, in the same manner.
"""

import asyncio
import datetime as dt
import json
import logging
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection

from console.gateway.decision import Decision, Target
from console.gateway.http import HttpCall
from console.gateway.keys import Key
from console.gateway.openai import Ask
from console.gateway.records import Record, Recorder
from console.gateway.replicas import Replica
from console.gateway.routes import Judge, Routes
from console.gateway.routing.answers import alike, text_of
from console.gateway.routing.judging import Case, Judges
from console.gateway.seats import Seat, Seats
from console.gateway.streams import usage_tokens
from console.gateway.upstream import ReplicaFailed, Upstream, whole
from console.gateway.wanted import Wanted
from models_app.deployments import replica_headers
from models_app.routing.services import mirror_pairs_store

logger = logging.getLogger(__name__)
#: Copies under way at the same time in this process; more are dropped.
AT_ONCE = 8
#: Pairs before a judge at the same time; more stay without a verdict.
JUDGED_AT_ONCE = 4
#: Bytes of an answer that are kept for the comparison.
KEPT_BYTES = 1 << 20
DEADLINE_S = 120
EVERY_S = 0.5
#: Pairs that wait for the database at most.
BOUND = 10_000


@dataclass(slots=True)
class Plan:
    """A request whose copies are to be sent as soon as its own record is complete."""

    decision: Decision
    ask: Ask
    key: Key


@dataclass(slots=True)
class Pair:
    """A row of MirrorPair in the making."""

    request_id: str
    route_id: int | None
    revision_id: int | None
    mirror_deployment_id: int
    mirror_revision_id: int
    total_ms: float
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    outcome: str = "dropped"
    same: bool | None = None
    verdict: str | None = None
    alike: int = 0
    length: int = 0
    mirror_total_ms: float | None = None


class Mirrors:
    """All copies of this process."""

    def __init__(
        self, routes: Routes, seats: Seats, upstream: Upstream, recorder: Recorder
    ) -> None:
        self._judges = Judges(routes, seats, upstream, recorder)
        self._seats = seats
        self._upstream = upstream
        self._recorder = recorder
        self._plans: dict[int, Plan] = {}
        self._copies: set[asyncio.Task[None]] = set()
        self._judging: set[asyncio.Task[None]] = set()
        self._pairs: deque[Pair] = deque(maxlen=BOUND)
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write pairs."""
        self._writer = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Break off what runs and write what is known."""
        under_way = [*self._copies, *self._judging]
        for task in [*under_way, *([self._writer] if self._writer else [])]:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._flush()

    def plan(self, decision: Decision, call: HttpCall, ask: Ask, key: Key) -> None:
        """The caller was answered by the first choice: note what its copies need."""
        if decision.mirrors and call.copy is not None:
            self._plans[id(call)] = Plan(decision, ask, key)

    def answered(self, call: HttpCall, record: Record) -> None:
        """The record is complete: send the copies, if there are to be some."""
        plan = self._plans.pop(id(call), None)
        if plan is None or call.copy is None or record.status != 200:
            return
        body = call.copy.whole()
        call.copy = None
        for target in plan.decision.mirrors:
            self._begin(target, plan, call.path, body, record)

    def _begin(
        self, target: Target, plan: Plan, path: str, body: bytes | None, record: Record
    ) -> None:
        until = time.monotonic() + DEADLINE_S
        decision = replace(plan.decision, priority="low", targets=(target,))
        seat = None
        if body is not None and len(self._copies) < AT_ONCE:
            seat = self._seats.spare(Wanted(plan.ask, plan.key, decision, target, until))
        arm = seat.arm if seat is not None else target.arm or target.route.active
        pair = Pair(
            request_id=record.request_id,
            route_id=plan.decision.routed_by,
            revision_id=record.revision_id,
            mirror_deployment_id=target.route.deployment_id,
            mirror_revision_id=arm.revision_id,
            total_ms=record.total_ms,
        )
        if seat is None or body is None:
            self._pairs.append(pair)
            return
        copy = Record(record.request_id, record.user_id, record.token_prefix, record.endpoint)
        copy.deployment_id, copy.revision_id = target.route.deployment_id, arm.revision_id
        copy.replica_id, copy.model, copy.rule = seat.replica.id, record.model, record.rule
        copy.mirrored, copy.adapter, copy.node = True, target.adapter, seat.replica.node
        task = asyncio.create_task(self._copy(seat, plan, path, body, pair, copy, target.judge))
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    async def _copy(
        self,
        seat: Seat,
        plan: Plan,
        path: str,
        body: bytes,
        pair: Pair,
        copy: Record,
        judge: Judge | None,
    ) -> None:
        started = time.monotonic()
        case: Case | None = None
        pair.outcome, copy.status, copy.outcome = "failed", 503, "mirror_failed"
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._ask(seat.replica, plan, path, pair, copy)
            copy.total_ms = pair.mirror_total_ms = round((time.monotonic() - started) * 1000, 3)
            if copy.status == 200:
                one, other = text_of(body, stream=plan.ask.stream), text_of(answer, stream=False)
                _compare(pair, one, other)
                if one is not None and other is not None:
                    case = Case(pair.request_id, plan.key, path, plan.ask.fields, one, other)
        except (ReplicaFailed, TimeoutError) as error:
            copy.total_ms = round((time.monotonic() - started) * 1000, 3)
            copy.detail = str(error)[:300]
        except Exception:
            logger.exception("the copy of request %s failed", pair.request_id)
        finally:
            tokens = (copy.prompt_tokens, copy.completion_tokens)
            seat.leave(tokens if copy.status == 200 else None)
            self._recorder.add(copy)
            self._conclude(pair, judge, case)

    def _conclude(self, pair: Pair, judge: Judge | None, case: Case | None) -> None:
        """The pair is to be written: at once, or when the judge has spoken."""
        if judge is not None and pair.same:
            pair.verdict = "tie"
        elif judge is not None and case is not None and len(self._judging) < JUDGED_AT_ONCE:
            task = asyncio.create_task(self._judge(pair, judge, case))
            self._judging.add(task)
            task.add_done_callback(self._judging.discard)
            return
        self._pairs.append(pair)

    async def _judge(self, pair: Pair, judge: Judge, case: Case) -> None:
        try:
            pair.verdict = await self._judges.verdict(judge, case)
        except Exception:
            logger.exception("the copy of request %s could not be judged", pair.request_id)
        finally:
            self._pairs.append(pair)

    async def _ask(
        self, replica: Replica, plan: Plan, path: str, pair: Pair, copy: Record
    ) -> bytes:
        """The whole answer to the copy; one that was asked as a stream is asked as a whole."""
        sent = json.loads(plan.ask.body)
        for name in ("stream", "stream_options"):
            sent.pop(name, None)
        headers = {
            "x-request-id": pair.request_id,
            replica_headers.TENANT: plan.key.tenant,
            replica_headers.PRIORITY: "low",
            replica_headers.DEADLINE_MS: str(DEADLINE_S * 1000),
        }
        if copy.adapter:
            headers[replica_headers.ADAPTER] = copy.adapter
        raw = json.dumps(sent).encode()
        async with self._upstream.ask(replica, path, raw, headers) as response:
            answer = await whole(response)
            copy.status = response.status
        _note(copy, answer)
        return answer

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self._flush()
            except DatabaseError as error:
                logger.warning("mirrored requests wait for the database: %s", error)
                await asyncio.sleep(1)

    async def _flush(self) -> None:
        """Write all that waits; what the database did not take goes on waiting."""
        if not self._pairs:
            return
        batch = list(self._pairs)
        self._pairs.clear()
        try:
            await asyncio.to_thread(_store, [_row(pair) for pair in batch])
        except DatabaseError:
            self._pairs.extendleft(reversed(batch))
            raise


def _compare(pair: Pair, one: str | None, other: str | None) -> None:
    if one is None or other is None:
        return
    pair.outcome, pair.same = "compared", one == other
    pair.alike, pair.length = alike(one, other), max(len(one), len(other))


def _note(copy: Record, body: bytes) -> None:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = None
    copy.outcome = "" if isinstance(answer, dict) and "choices" in answer else "mirror_failed"
    if isinstance(answer, dict):
        copy.prompt_tokens, copy.completion_tokens = usage_tokens(answer.get("usage"))


def _row(pair: Pair) -> dict[str, Any]:
    return {name: getattr(pair, name) for name in Pair.__slots__}


def _store(rows: list[dict[str, Any]]) -> None:
    try:
        mirror_pairs_store(rows)
    finally:
        connection.close()
