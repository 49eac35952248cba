"""One generation: a seat at a replica and its answer; another one while nothing was sent."""

import time

from django.conf import settings

from console.gateway import errors
from console.gateway.answering import Answering
from console.gateway.decision import Decision, Target
from console.gateway.errors import GatewayError
from console.gateway.http import HttpCall
from console.gateway.keys import Key
from console.gateway.openai import Ask
from console.gateway.records import Record
from console.gateway.replicas import Replica
from console.gateway.seats import Seats, Wanted
from console.gateway.streams import EventStream
from console.gateway.upstream import Refused, ReplicaFailed, Upstream

MAX_RETRIES = 2


class Exchange:
    """Runs once, inside an Interrupt of `seconds`."""

    def __init__(
        self, seats: Seats, upstream: Upstream, call: HttpCall, ask: Ask, key: Key, record: Record
    ) -> None:
        self._seats = seats
        self._upstream = upstream
        self._call = call
        self._ask = ask
        self._key = key
        self._record = record
        self._deadline = time.monotonic() + settings.GATEWAY_TIMEOUT_S
        self._answering = Answering(call, ask, record)

    @property
    def stream(self) -> EventStream | None:
        """The stream that runs to the client, if one does."""
        return self._answering.stream

    async def run(self, decision: Decision, seconds: float) -> None:
        """Answer the call by the first target that can, or raise GatewayError with nothing sent."""
        self._deadline = time.monotonic() + seconds
        last = decision.targets[-1]
        for target in decision.targets:
            self._answering.final = target is last
            try:
                await self._at(target, decision)
                return
            except GatewayError as error:
                # Another target is asked for what is not the caller's fault, before any byte.
                if target is last or (error.status < 500 and error.status != 429):
                    raise
                self._note(f"{target.route.name}: {error.code}")

    async def _at(self, target: Target, decision: Decision) -> None:
        """Answer by this target, at most three of its replicas."""
        record = self._record
        record.adapter, record.degraded = target.adapter, target.degraded
        wanted = Wanted(self._ask, self._key, decision, target, self._deadline)
        headers = self._headers(target, decision)
        failures = 0
        while True:
            record.deployment_id = target.route.deployment_id
            record.revision_id = wanted.arm(target.route).revision_id
            waited, waking = wanted.waited, wanted.waking
            try:
                seat = await self._seats.take(wanted)
            finally:
                record.gateway_wait_ms += _ms(wanted.waited - waited)
                record.wake_ms += _ms(wanted.waking - waking)
            record.replica_id, record.revision_id = seat.replica.id, seat.arm.revision_id
            tokens = None
            try:
                await self._ask_replica(seat.replica, headers)
                tokens = self._answering.tokens()
                return
            except ReplicaFailed as failure:
                failures += 1
                self._again(wanted, seat.replica, failure, failures)
            finally:
                seat.leave(tokens)

    async def _ask_replica(self, replica: Replica, headers: dict[str, str]) -> None:
        call, ask = self._call, self._ask
        headers["x-slipway-deadline-ms"] = str(int((self._deadline - time.monotonic()) * 1000))
        async with self._upstream.ask(replica, call.path, ask.body, headers) as response:
            await self._answering.take(replica, response)

    def _headers(self, target: Target, decision: Decision) -> dict[str, str]:
        """What the replica is told beside the body."""
        headers = {
            "x-request-id": self._call.request_id,
            "x-slipway-tenant": self._key.tenant,
            "x-slipway-priority": decision.priority,
        }
        if target.adapter:
            headers["x-slipway-adapter"] = target.adapter
        return headers

    def _again(
        self, wanted: Wanted, replica: Replica, failure: ReplicaFailed, failures: int
    ) -> None:
        """Note the failure; raises GatewayError when enough has been tried."""
        wanted.tried.add(replica)
        if isinstance(failure, Refused):
            if failure.status == 503:
                replica.rest()
            else:
                wanted.refused_s = failure.retry_after
            self._note(f"replica {replica.id}: {failure.status}")
        else:
            replica.eject()
            self._seats.ejections += 1
            self._note(f"replica {replica.id}: {failure}")
        if failures > MAX_RETRIES:
            if wanted.refused_s:
                raise errors.busy(self._ask.model, wanted.refused_s)
            raise errors.no_replica(self._ask.model)
        self._record.retries += 1

    def _note(self, what: str) -> None:
        """What went wrong on the way, for whoever looks into the record."""
        said = self._record.detail
        self._record.detail = (f"{said}; {what}" if said else what)[:300]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
