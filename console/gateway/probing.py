"""Asks replicas how they are: those that nothing was heard of, and those that were left alone."""

import asyncio
import logging
import time
from typing import Any

from console.gateway.replicas import Replica
from console.gateway.routes import Routes
from console.gateway.seats import Seats
from console.gateway.upstream import Unreachable, Upstream

logger = logging.getLogger(__name__)
EVERY_S = 0.25
#: Traffic that went well is as good as a probe for so long.
QUIET_S = 1.0
#: Probes of a replica without traffic are so far apart; of one that has work they are closer.
IDLE_S = 5.0
TIMEOUT_S = 2.0
#: A replica that is silent so often in a row hangs: what it was doing goes elsewhere. One that
#: refuses connections is gone and left alone at once.
SILENT = 3


class Prober:
    """A task that looks at all replicas a few times a second and asks few of them."""

    def __init__(self, routes: Routes, seats: Seats, upstream: Upstream) -> None:
        self._routes = routes
        self._seats = seats
        self._upstream = upstream
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            now = time.monotonic()
            replicas = self._routes.replicas()
            for replica in replicas:
                if _due(replica, now):
                    replica.probed_at = now
                    task = asyncio.create_task(self._probe(replica))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
            await self._upstream.forget(replicas)

    async def _probe(self, replica: Replica) -> None:
        try:
            said = await self._upstream.health(replica, TIMEOUT_S)
        except Unreachable as error:
            await self._missed(replica, error)
            return
        except Exception:
            logger.exception("probing replica %d failed", replica.id)
            return
        _learn(replica, said)
        if said.get("state") == "draining":
            replica.rest()
        replica.missed = 0
        if replica.ejected:
            logger.info("replica %d is well again", replica.id)
            replica.readmit()

    async def _missed(self, replica: Replica, error: Unreachable) -> None:
        replica.missed += 1
        if replica.ejected:
            replica.eject()  # longer than last time
            return
        silent = isinstance(error.__cause__, TimeoutError)
        if silent and replica.missed < SILENT:
            return
        logger.warning("replica %d does not answer (%s): left alone", replica.id, error)
        replica.eject()
        self._seats.ejections += 1
        if silent:
            await self._upstream.cut(replica)


def _due(replica: Replica, now: float) -> bool:
    """Whether this one should be asked now."""
    if replica.ejected:
        return now >= replica.ejected_until and now >= replica.probed_at + EVERY_S
    if now - replica.good_at < QUIET_S:
        return False
    apart = TIMEOUT_S if replica.outstanding or replica.missed else IDLE_S
    return now >= replica.probed_at + apart


def _learn(replica: Replica, said: dict[str, Any]) -> None:
    slots = said.get("slots")
    if isinstance(slots, int) and 0 < slots <= 10_000:
        replica.slots = slots
    adapters = said.get("adapters")
    if isinstance(adapters, list):
        replica.adapters = frozenset(name for name in adapters if isinstance(name, str))
