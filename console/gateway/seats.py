"""Admission: a request gets a seat at a replica, waits for one in a bounded line, or is refused."""

import asyncio
import time
from collections.abc import Callable

from console.gateway import errors
from console.gateway.balancing import Prefixes, pick, prefix_blocks, usable
from console.gateway.errors import GatewayError
from console.gateway.experience import READ, Experience
from console.gateway.line import Line
from console.gateway.replicas import Replica
from console.gateway.routes import Arm, Route, Routes
from console.gateway.wanted import Wanted

#: Longest time between two looks while somebody waits: a replica's rest may be over.
LOOK_S = 0.1
#: Heads of the line that are looked at when the first of them cannot be served.
LOOK_AT = 8


class Seat:
    """A place at a replica, until `leave`."""

    __slots__ = ("_seats", "_taken", "arm", "replica", "wanted")

    def __init__(self, seats: "Seats", wanted: Wanted, arm: Arm, replica: Replica) -> None:
        self._seats = seats
        self._taken = time.monotonic()
        self.wanted = wanted
        self.arm = arm
        self.replica = replica
        replica.outstanding += wanted.width
        replica.work += wanted.work

    def leave(self, tokens: tuple[int, int] | None = None) -> None:
        """Give the place to the next; `tokens` (prompt, completion) if there was an answer."""
        wanted, replica = self.wanted, self.replica
        replica.outstanding -= wanted.width
        replica.work = max(0.0, replica.work - wanted.work) if replica.outstanding else 0.0
        if tokens is not None:
            seconds = time.monotonic() - self._taken
            learnt = self._seats.experience(self.arm)
            work = learnt.note(wanted.size, *tokens, wanted.width, seconds)
            replica.note_pace(seconds, work)
        self._seats.freed(self.arm.revision_id)


class Seats:
    """All lines of this process. Several gateways each have theirs; replicas have their own too."""

    def __init__(self, routes: Routes, wake: Callable[[int], None]) -> None:
        self._routes = routes
        self._wake = wake
        self._lines: dict[int, Line[Wanted]] = {}
        self._experience: dict[int, Experience] = {}
        self._prefixes: dict[int, Prefixes] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: How often a replica was left alone since this process began.
        self.ejections = 0
        routes.on_change.append(self._table_changed)

    def experience(self, arm: Arm) -> Experience:
        """What is known of the revision's requests."""
        found = self._experience.get(arm.revision_id)
        if found is None:
            found = self._experience[arm.revision_id] = Experience()
        return found

    def waiting(self, route: Route) -> int:
        """Requests in line for a deployment."""
        return sum(len(self._lines.get(arm.revision_id, ())) for arm in route.arms)

    def hopeless(self, wanted: Wanted) -> bool:
        """Whether a pinned request waits in vain: nothing of its revision is left, or comes."""
        route = self._route(wanted)
        arm = wanted.arm(route)
        return arm is wanted.pinned and arm not in route.arms and not usable(arm, wanted.tried)

    def others(self, wanted: Wanted) -> bool:
        """Whether a replica is left that this request has not been to."""
        return bool(usable(wanted.arm(self._route(wanted)), wanted.tried))

    def serves(self, wanted: Wanted) -> bool:
        """Whether the deployment still has the adapter of this request."""
        return any(wanted.adapter in arm.adapters for arm in self._route(wanted).arms)

    async def take(self, wanted: Wanted) -> Seat:
        """A seat, or GatewayError 404, 429, 503. Cancel to leave the line."""
        route = self._route(wanted)
        arm = wanted.arm(route)
        self._estimate(wanted, arm)
        if wanted.refused_s and not usable(arm, wanted.tried):
            raise errors.busy(wanted.ask.model, wanted.refused_s)
        line = self._line(arm)
        if not len(line) and (seat := self._seat(wanted, arm, line)) is not None:
            return seat
        return await self._wait(wanted, route, arm, line)

    def spare(self, wanted: Wanted) -> Seat | None:
        """A seat at a replica that is not half busy, where nobody waits: for what may be left out.

        It is not charged to the tenant.
        """
        wanted.served = True
        try:
            arm = wanted.arm(self._route(wanted))
        except GatewayError:
            return None
        line = self._line(arm)
        self._estimate(wanted, arm)
        seat = None if len(line) else self._seat(wanted, arm, line)
        if seat is not None and seat.replica.outstanding > max(1, seat.replica.slots // 2):
            seat.leave()
            return None
        return seat

    async def _wait(self, wanted: Wanted, route: Route, arm: Arm, line: Line[Wanted]) -> Seat:
        began = time.monotonic()
        alive = bool(usable(arm))
        wanted.entered = wanted.entered or began
        if not wanted.served:
            self._admit(wanted, arm, line)
        if route.asleep and not arm.replicas:
            self._wake(route.deployment_id)
        future = wanted.future = asyncio.get_running_loop().create_future()
        line.add(wanted, front=wanted.served)
        self._serve(arm, line)
        self._look_again()
        seat: Seat | None = None
        try:
            async with asyncio.timeout_at(self._until(wanted, arm)):
                seat = await future
            return seat
        except TimeoutError:
            raise self._late(wanted) from None
        finally:
            for other in self._lines.values():  # a change of the table may have moved it
                other.remove(wanted)
            if seat is None and future.done() and not future.cancelled() and not future.exception():
                future.result().leave()
            waited = time.monotonic() - began
            wanted.waited += waited
            wanted.waking += 0.0 if alive else waited

    def _until(self, wanted: Wanted, arm: Arm) -> float:
        patience = wanted.patience_s
        if patience is None:
            patience = float(arm.settings.queue_wait_s)
        return min(time.monotonic() + patience, wanted.deadline)

    def _estimate(self, wanted: Wanted, arm: Arm) -> None:
        learnt = self.experience(arm)
        wanted.work = learnt.work(wanted.size, wanted.most, wanted.width)
        if len(arm.replicas) > 1 and not wanted.prefix:
            salt = f"{wanted.tenant}:{wanted.adapter}"
            wanted.prefix = prefix_blocks(wanted.ask.fields, salt)
        wanted.block_work = 256 / learnt.bytes_per_token * READ

    def _admit(self, wanted: Wanted, arm: Arm, line: Line[Wanted]) -> None:
        """Refuse who would wait in vain; in a full line the weaker one leaves."""
        busy = sum(replica.outstanding for replica in arm.replicas)
        learnt = self.experience(arm)
        if len(line) >= arm.settings.queue_limit:
            weakest = line.weakest(wanted)
            if weakest is None:
                raise self._refusal(wanted, arm, line)
            line.remove(weakest)
            if weakest.future is not None and not weakest.future.done():
                weakest.future.set_exception(self._refusal(weakest, arm, line))
        elif busy:
            patience = wanted.patience_s
            if patience is None:
                patience = arm.settings.queue_wait_s
            if learnt.wait(line.ahead(wanted), busy) > patience:
                raise self._refusal(wanted, arm, line)

    def _refusal(self, wanted: Wanted, arm: Arm, line: Line[Wanted]) -> GatewayError:
        alive = usable(arm)
        if not alive:
            return errors.no_replica(wanted.ask.model)
        busy = sum(replica.outstanding for replica in alive)
        return errors.busy(wanted.ask.model, self.experience(arm).refused(len(line), busy))

    def _late(self, wanted: Wanted) -> GatewayError:
        """It waited as long as it may."""
        if time.monotonic() >= wanted.deadline:
            return errors.deadline_passed(wanted.deadline_s)
        arm = wanted.arm(self._route(wanted))
        return self._refusal(wanted, arm, self._line(arm))

    def _seat(self, wanted: Wanted, arm: Arm, line: Line[Wanted]) -> Seat | None:
        prefixes = self._prefixes.get(arm.revision_id)
        if prefixes is None:
            prefixes = self._prefixes[arm.revision_id] = Prefixes()
        if wanted.tried and not usable(arm, wanted.tried):
            wanted.tried.clear()  # all have failed once: each may be tried again
        replica = pick(arm, wanted, prefixes)
        if replica is None:
            return None
        if not wanted.served:
            line.charge(wanted, wanted.work)
        if wanted.prefix:
            prefixes.note(wanted.prefix, replica)
        if wanted.adapter and wanted.adapter not in replica.adapters:
            replica.adapters |= {wanted.adapter}
        wanted.served = True
        return Seat(self, wanted, arm, replica)

    def _serve(self, arm: Arm, line: Line[Wanted]) -> None:
        """Give the free places to those in line."""
        while len(line):
            for index, wanted in enumerate(line.heads()):
                if index >= LOOK_AT:
                    return
                seat = self._seat(wanted, arm, line)
                if seat is not None:
                    break
            else:
                return
            line.remove(wanted)
            future = wanted.future
            if future is None or future.done():
                seat.leave()
            else:
                future.set_result(seat)

    def freed(self, revision_id: int) -> None:
        """A place at this revision's replicas is free."""
        line = self._lines.get(revision_id)
        if line is None or not len(line):
            return
        first = next(line.heads())
        try:
            arm = first.arm(self._route(first))
        except GatewayError as error:
            self._turn_away(first, line, error)
            return
        if arm.revision_id == revision_id:
            self._serve(arm, line)

    def _table_changed(self) -> None:
        """Everybody in line looks again where he belongs."""
        for revision_id, line in list(self._lines.items()):
            for wanted in sorted(line, key=lambda item: item.entered):
                try:
                    arm = wanted.arm(self._route(wanted))
                except GatewayError as error:
                    self._turn_away(wanted, line, error)
                    continue
                if arm.revision_id != revision_id:
                    line.remove(wanted)
                    self._line(arm).add(wanted)
        self._forget()
        for revision_id in list(self._lines):
            self.freed(revision_id)

    def _turn_away(self, wanted: Wanted, line: Line[Wanted], error: GatewayError) -> None:
        line.remove(wanted)
        if wanted.future is not None and not wanted.future.done():
            wanted.future.set_exception(error)

    def _forget(self) -> None:
        """What is known of revisions that are gone."""
        there = {a.revision_id for route in self._routes.by_name.values() for a in route.arms}
        for gone in [rid for rid, line in self._lines.items() if not line and rid not in there]:
            del self._lines[gone]
        for store in (self._experience, self._prefixes):
            for gone in store.keys() - there:
                del store[gone]

    def _look_again(self) -> None:
        """Look after a moment while anybody waits: a replica may have rested enough."""
        if self._timer is None and any(len(line) for line in self._lines.values()):
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        for revision_id in list(self._lines):
            self.freed(revision_id)
        self._look_again()

    def _line(self, arm: Arm) -> Line[Wanted]:
        line = self._lines.get(arm.revision_id)
        if line is None:
            line = self._lines[arm.revision_id] = Line()
        return line

    def _route(self, wanted: Wanted) -> Route:
        """The deployment as it is now: a roll-out may have switched it."""
        route = wanted.target.route
        fresh = self._routes.by_name.get(route.name)
        if fresh is None or fresh.deployment_id != route.deployment_id:
            raise errors.model_not_found(wanted.ask.model)
        return fresh
