"""One generation: a seat at a replica and its answer; another one while nothing was sent."""

import asyncio
import time

from django.conf import settings

from console.gateway import errors
from console.gateway.answering import Answering
from console.gateway.cache import Answers, Entry
from console.gateway.decision import Decision, Target
from console.gateway.errors import GatewayError
from console.gateway.http import HttpCall
from console.gateway.keys import Key
from console.gateway.openai import Ask
from console.gateway.records import Record
from console.gateway.replicas import Replica
from console.gateway.resuming import MOST_RESUMES
from console.gateway.seats import Seat, Seats
from console.gateway.streams import EventStream
from console.gateway.upstream import AdapterMissing, Lost, Refused, ReplicaFailed, Upstream
from console.gateway.wanted import Wanted
from models_app.deployments import replica_headers

MAX_RETRIES = 2
#: How long an adapter that no replica has in memory is waited for, and how often it is asked for.
ADAPTER_WAIT_S = 15.0
ADAPTER_LOOK_S = 0.2


class Exchange:
    """Runs once, inside an Interrupt of `seconds`."""

    def __init__(
        self,
        seats: Seats,
        upstream: Upstream,
        answers: Answers,
        call: HttpCall,
        ask: Ask,
        key: Key,
        record: Record,
    ) -> None:
        self._seats = seats
        self._answers = answers
        self._upstream = upstream
        self._call = call
        self._ask = ask
        self._key = key
        self._record = record
        self._deadline = time.monotonic() + settings.GATEWAY_TIMEOUT_S
        self._answering = Answering(call, ask, record)
        #: What the replica is asked; of an answer that is resumed, the rest.
        self._body = ask.body

    @property
    def stream(self) -> EventStream | None:
        """The stream that runs to the client, if one does."""
        return self._answering.stream

    async def run(self, decision: Decision, seconds: float) -> None:
        """Answer the call by the first target that can, or raise GatewayError with nothing sent."""
        self._deadline = time.monotonic() + seconds
        entry = self._entry(decision)
        if entry is None:
            await self._compute(decision)
            return
        self._record.cache = "miss"
        try:
            body = await entry.find()
            if body is not None:
                await self._answering.repeat(body)
                return
            self._answering.entry = entry
            await self._compute(decision)
            if self._record.revision_id == entry.arm.revision_id and not self._record.degraded:
                self._answering.keep()
        finally:
            entry.give_up()

    def _entry(self, decision: Decision) -> Entry | None:
        """Where the answer is kept, if it is; what is said of the first target is known then."""
        target, record = decision.targets[0], self._record
        if target.degraded:
            return None
        arm = target.arm or target.route.share(decision.sticky)
        entry = self._answers.entry(arm, target, self._call.path, self._ask, self._key)
        if entry is not None:
            record.deployment_id = target.route.deployment_id
            record.revision_id, record.adapter = arm.revision_id, target.adapter
        return entry

    async def _compute(self, decision: Decision) -> None:
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
        loaded_by = 0.0
        while True:
            record.deployment_id = target.route.deployment_id
            record.revision_id = wanted.arm(target.route).revision_id
            waited, waking = wanted.waited, wanted.waking
            try:
                seat = await self._take(wanted)
            finally:
                record.gateway_wait_ms += _ms(wanted.waited - waited)
                record.wake_ms += _ms(wanted.waking - waking)
            record.replica_id, record.revision_id = seat.replica.id, seat.arm.revision_id
            record.node = seat.replica.node
            tokens, missing = None, False
            try:
                await self._ask_replica(seat.replica, headers)
                tokens = self._answering.tokens()
                return
            except AdapterMissing:
                missing = True
                patience = ADAPTER_WAIT_S if wanted.patience_s is None else wanted.patience_s
                loaded_by = loaded_by or time.monotonic() + patience
            except ReplicaFailed as failure:
                failures += 1
                self._again(wanted, seat.replica, failure, failures)
            except Lost:
                failures = 0
                self._resume(wanted, seat)
            finally:
                seat.leave(tokens)
            if missing:
                await self._find_adapter(wanted, seat.replica, loaded_by)

    async def _find_adapter(self, wanted: Wanted, replica: Replica, until: float) -> None:
        """Go on to a replica that may have the adapter; wait a little where none has it yet.

        Raises GatewayError, or Lost in a stream that runs, where it is not served any more or was
        not loaded in time.
        """
        said = f"replica {replica.id}: without adapter {wanted.adapter}"
        if said not in self._record.detail:
            self._note(said)
        replica.adapters -= {wanted.adapter}
        wanted.tried.add(replica)
        try:
            if self._seats.others(wanted):
                self._record.retries += 1
                return
            if time.monotonic() >= until:
                raise errors.adapter_not_loaded(self._ask.model)
            await asyncio.sleep(ADAPTER_LOOK_S)
            if not self._seats.serves(wanted):
                raise errors.model_not_found(self._ask.model)
        except GatewayError:
            if wanted.pinned is not None:
                raise Lost from None
            raise

    async def _take(self, wanted: Wanted) -> Seat:
        """A seat; for the rest of an answer at a replica of the same revision, or Lost."""
        if wanted.pinned is None:
            return await self._seats.take(wanted)
        try:
            if self._seats.hopeless(wanted):
                raise Lost
            return await self._seats.take(wanted)
        except GatewayError as error:
            self._note(f"not resumed: {error.code}")
            raise Lost from None

    def _resume(self, wanted: Wanted, seat: Seat) -> None:
        """Have the rest of a stream computed by another replica; raises Lost where nobody can."""
        stream, record = self._answering.stream, self._record
        if stream is None or not stream.progress.known or record.resumes >= MOST_RESUMES:
            raise Lost
        record.resumes += 1
        self._note(f"replica {seat.replica.id}: lost after {stream.tokens()[1]} tokens")
        wanted.pinned = seat.arm
        wanted.tried.add(seat.replica)
        self._body = stream.progress.body(self._ask.body)
        stream.resume()

    async def _ask_replica(self, replica: Replica, headers: dict[str, str]) -> None:
        call = self._call
        left_s = self._deadline - time.monotonic()
        headers[replica_headers.DEADLINE_MS] = str(int(left_s * 1000))
        async with self._upstream.ask(replica, call.path, self._body, headers) as response:
            await self._answering.take(replica, response)

    def _headers(self, target: Target, decision: Decision) -> dict[str, str]:
        """What the replica is told beside the body."""
        headers = {
            "x-request-id": self._call.request_id,
            replica_headers.TENANT: self._key.tenant,
            replica_headers.PRIORITY: decision.priority,
        }
        if target.adapter:
            headers[replica_headers.ADAPTER] = target.adapter
        if self._ask.stream:
            headers[replica_headers.TOKENS] = "1"
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
            if wanted.pinned is not None:
                raise Lost
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
