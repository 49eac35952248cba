"""Who is next: by priority and waiting time, then by what each tenant and each person had."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

#: Waiting so long lifts a request by one priority: low ones are never starved.
AGE_S = 5.0
LEVELS = {"low": 0, "normal": 1, "high": 2}
#: Accounts kept; older ones start anew, which costs nobody anything.
ACCOUNTS = 1000


class Waiter(Protocol):
    """What a line knows of a request."""

    level: int
    tenant: str
    user: int
    entered: float


W = TypeVar("W", bound=Waiter)


class Accounts:
    """Work given to each name; who comes late starts where the others are, not at nothing."""

    def __init__(self) -> None:
        self._until: dict[str | int, float] = {}
        self._clock = 0.0

    def charge(self, name: str | int, work: float) -> None:
        """`name` gets so much work done."""
        start = self.standing(name)
        self._until[name] = start + work
        self._clock = max(self._clock, start)
        if len(self._until) > ACCOUNTS:
            self._until = {n: u for n, u in self._until.items() if u > self._clock}

    def standing(self, name: str | int) -> float:
        """Who has the least is next."""
        return max(self._until.get(name, 0.0), self._clock)


class Line(Generic[W]):
    """The requests that wait for one revision's replicas."""

    def __init__(self) -> None:
        self._levels: list[dict[str, dict[int, deque[W]]]] = [{} for _ in LEVELS]
        self._tenants = Accounts()
        self._users: dict[str, Accounts] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[W]:
        for tenants in self._levels:
            for users in tenants.values():
                for waiters in users.values():
                    yield from waiters

    def add(self, waiter: W, *, front: bool = False) -> None:
        """Wait; `front` for one that was served already and whose replica failed."""
        users = self._levels[waiter.level].setdefault(waiter.tenant, {})
        waiters = users.setdefault(waiter.user, deque())
        if front:
            waiters.appendleft(waiter)
        else:
            waiters.append(waiter)
        self._count += 1

    def remove(self, waiter: W) -> None:
        """It waits no longer; nothing happens if it did not."""
        tenants = self._levels[waiter.level]
        users = tenants.get(waiter.tenant)
        if users is None or waiter.user not in users:
            return
        waiters = users[waiter.user]
        if waiter not in waiters:
            return
        waiters.remove(waiter)
        self._count -= 1
        if not waiters:
            del users[waiter.user]
        if not users:
            del tenants[waiter.tenant]

    def ahead(self, newcomer: W) -> int:
        """How many would be served before a newcomer, age aside."""
        levels = self._levels[newcomer.level :]
        return sum(_size(users) for tenants in levels for users in tenants.values())

    def charge(self, waiter: W, work: float) -> None:
        """It is served, with so much work."""
        self._tenants.charge(waiter.tenant, work)
        if len(self._users) > ACCOUNTS:
            self._users.clear()
        self._users.setdefault(waiter.tenant, Accounts()).charge(waiter.user, work)

    def heads(self) -> Iterator[W]:
        """The first of each, in the order in which they should be served."""
        now = time.monotonic()
        levels = [(self._urgency(level, now), level) for level in range(len(LEVELS))]
        for _, level in sorted(levels, reverse=True):
            tenants = self._levels[level]
            for tenant in sorted(tenants, key=self._tenants.standing):
                users, accounts = tenants[tenant], self._users.get(tenant)
                order = sorted(users, key=accounts.standing) if accounts else list(users)
                for user in order:
                    yield users[user][0]

    def _urgency(self, level: int, now: float) -> float:
        tenants = self._levels[level].values()
        oldest = min((w[0].entered for users in tenants for w in users.values()), default=now)
        return level + (now - oldest) / AGE_S

    def weakest(self, newcomer: W) -> W | None:
        """Who should give way to the newcomer in a full line: the latest of a lower priority, or of
        a tenant or person with more in line than the newcomer's own.
        """
        now = time.monotonic()
        for level in range(newcomer.level):
            latest = self._latest(level)
            if latest and level + (now - latest.entered) / AGE_S < newcomer.level:
                return latest
        latest = self._latest(newcomer.level)
        if latest is None:
            return None
        tenants = self._levels[newcomer.level]
        mine = tenants.get(newcomer.tenant, {})
        if latest.tenant != newcomer.tenant:
            return latest if _size(tenants[latest.tenant]) > _size(mine) + 1 else None
        own = len(mine.get(newcomer.user, ()))
        return latest if len(mine[latest.user]) > own + 1 else None

    def _latest(self, level: int) -> W | None:
        """The latest request of whoever has most in line."""
        tenants = self._levels[level]
        if not tenants:
            return None
        users = max(tenants.values(), key=_size)
        return max(users.values(), key=len)[-1]


def _size(users: dict[int, deque[W]]) -> int:
    return sum(map(len, users.values()))
