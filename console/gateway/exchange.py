"""One generation: find a replica, pass its answer on, try another as long as nothing was sent."""

import time

from django.conf import settings

from console.gateway import errors
from console.gateway.answering import Answering
from console.gateway.balancing import full, pick
from console.gateway.decision import Decision, Target
from console.gateway.errors import GatewayError
from console.gateway.http import HttpCall
from console.gateway.keys import Key
from console.gateway.openai import Ask
from console.gateway.records import Record
from console.gateway.routes import Arm, Replica, Route, Routes
from console.gateway.streams import EventStream
from console.gateway.upstream import Refused, ReplicaFailed, Upstream

MAX_RETRIES = 2
#: How long a request waits for a replica that starts or restarts.
WAIT_S = 5.0
#: Longest time between two looks while waiting; a change of the table wakes earlier.
LOOK_S = 0.25


class Exchange:
    """Runs once, inside an Interrupt."""

    def __init__(
        self, routes: Routes, upstream: Upstream, call: HttpCall, ask: Ask, key: Key, record: Record
    ) -> None:
        self._routes = routes
        self._upstream = upstream
        self._call = call
        self._ask = ask
        self._key = key
        self._record = record
        self._until = time.monotonic() + settings.GATEWAY_TIMEOUT_S
        self._answering = Answering(call, ask, record)
        self._tried: set[Replica] = set()
        self._refusal: Refused | None = None

    @property
    def stream(self) -> EventStream | None:
        """The stream that runs to the client, if one does."""
        return self._answering.stream

    async def run(self, decision: Decision) -> None:
        """Answer the call by the first target that can, or raise GatewayError with nothing sent."""
        last = decision.targets[-1]
        for target in decision.targets:
            self._answering.final = target is last
            try:
                await self._at(target, decision)
                return
            except GatewayError as error:
                # Another target is asked for what it is not the caller's fault, before any byte.
                if target is last or (error.status < 500 and error.status != 429):
                    raise

    async def _at(self, target: Target, decision: Decision) -> None:
        """Answer by this target."""
        record = self._record
        record.adapter, record.degraded = target.adapter, target.degraded
        self._tried.clear()
        self._refusal = None
        headers = self._headers(target, decision)
        while True:
            route = self._current(target.route)
            arm = _arm(route, target, decision.sticky)
            record.deployment_id, record.revision_id = route.deployment_id, arm.revision_id
            replica = pick(arm, self._tried, settings.GATEWAY_REPLICA_LIMIT)
            if replica is None:
                arm, replica = await self._wait(target, arm, decision.sticky)
            record.replica_id, record.revision_id = replica.id, arm.revision_id
            replica.outstanding += 1
            try:
                await self._ask_replica(replica, headers)
                return
            except ReplicaFailed as failure:
                self._again(replica, failure)
            finally:
                replica.outstanding -= 1

    async def _ask_replica(self, replica: Replica, headers: dict[str, str]) -> None:
        call, ask = self._call, self._ask
        headers["x-slipway-deadline-ms"] = str(int((self._until - time.monotonic()) * 1000))
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

    async def _wait(self, target: Target, arm: Arm, sticky: str) -> tuple[Arm, Replica]:
        """A replica that becomes free or ready within a few seconds, or GatewayError."""
        limit = settings.GATEWAY_REPLICA_LIMIT
        if full(arm, limit):
            raise errors.busy(self._ask.model)
        if self._refusal is not None and self._refusal.status == 429:
            raise self._given_up()
        waiting, deployment = self._routes.waiting, target.route.deployment_id
        if waiting[deployment] >= limit:
            raise errors.busy(self._ask.model)
        seconds = WAIT_S if self._answering.final else min(WAIT_S, target.patience_s)
        waiting[deployment] += 1
        try:
            return await self._look(target, sticky, time.monotonic() + seconds)
        finally:
            waiting[deployment] -= 1

    async def _look(self, target: Target, sticky: str, until: float) -> tuple[Arm, Replica]:
        self._tried.clear()
        while (left := until - time.monotonic()) > 0:
            await self._routes.changed(min(left, LOOK_S))
            arm = _arm(self._current(target.route), target, sticky)
            replica = pick(arm, self._tried, settings.GATEWAY_REPLICA_LIMIT)
            if replica is not None:
                return arm, replica
        raise errors.no_replica(self._ask.model)

    def _current(self, route: Route) -> Route:
        """The deployment as it is now: a roll-out may have switched it."""
        fresh = self._routes.by_name.get(route.name)
        if fresh is None or fresh.deployment_id != route.deployment_id:
            raise errors.model_not_found(self._ask.model)
        return fresh


def _arm(route: Route, target: Target, sticky: str) -> Arm:
    """The arm of the target as the table has it now; a revision that is gone has a successor."""
    if target.arm is None:
        return route.share(sticky)
    wanted = target.arm.revision_id
    return next((arm for arm in route.arms if arm.revision_id == wanted), route.active)
