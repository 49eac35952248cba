"""Where a deployment's name leads: its active revision's replicas, and how each is doing."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from models_app.deployments.secrets import replica_secret

#: Seconds a replica is left alone after its n-th connection error in a row.
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
#: A replica that says 503 is leaving or not there yet: the table follows within a second.
REFUSED_S = 0.5


class Replica:
    """One model server, with what this process knows about it."""

    __slots__ = ("address", "ejected_until", "epoch", "failures", "headers", "id", "outstanding")

    def __init__(self, row: dict[str, Any]) -> None:
        self.id: int = row["id"]
        self.epoch: int = row["epoch"]
        host = row["host"]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{row['port']}"
        self.headers = {
            "authorization": f"Bearer {replica_secret(self.id, self.epoch)}",
            "content-type": "application/json",
        }
        self.outstanding = 0
        self.failures = 0
        self.ejected_until = 0.0

    def eject(self) -> None:
        """It did not answer: leave it alone, longer each time."""
        wait = BACK_OFF_S[min(self.failures, len(BACK_OFF_S) - 1)]
        self.failures += 1
        self.ejected_until = time.monotonic() + wait

    def rest(self) -> None:
        """It refused politely: prefer others for a moment."""
        self.ejected_until = time.monotonic() + REFUSED_S

    def worked(self) -> None:
        """It answered."""
        self.failures = 0
        self.ejected_until = 0.0


class Route:
    """A deployment that may be asked."""

    __slots__ = ("created", "deployment_id", "name", "replicas", "revision_id", "team_id", "turn")

    def __init__(self, row: dict[str, Any], replicas: list[Replica]) -> None:
        self.name: str = row["name"]
        self.deployment_id: int = row["deployment_id"]
        self.team_id: int = row["team_id"]
        self.revision_id: int = row["arms"][0]["revision_id"]
        self.created: int = row["created"]
        self.replicas = replicas
        #: Whose turn it is among equally busy replicas.
        self.turn = 0


class Routes:
    """All routes. Replaced as a whole; what is known of a replica survives while its epoch does."""

    def __init__(self) -> None:
        self.by_name: dict[str, Route] = {}
        #: By the version that is served, `team/model:v3`; of several deployments the first one.
        self.by_version: dict[str, Route] = {}
        self.loaded = False
        #: Requests that wait for a replica, by deployment.
        self.waiting: Counter[int] = Counter()
        self._changed = asyncio.Event()

    def apply(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take over a fresh table."""
        known = {
            (replica.id, replica.epoch, replica.address): replica
            for route in self.by_name.values()
            for replica in route.replicas
        }
        fresh: dict[str, Route] = {}
        versions: dict[str, Route] = {}
        for row in sorted(rows, key=lambda row: str(row["name"])):
            active = row["arms"][0]
            replicas = [Replica(item) for item in active["replicas"]]
            kept = [known.get((r.id, r.epoch, r.address), r) for r in replicas]
            fresh[row["name"]] = Route(row, kept)
            versions.setdefault(active["version"], fresh[row["name"]])
        self.by_name, self.by_version = fresh, versions
        self.loaded = True
        self._changed.set()
        self._changed = asyncio.Event()

    def find(self, model: str) -> Route | None:
        """What a request names: a deployment, or a version that one of them serves."""
        return self.by_name.get(model) or self.by_version.get(model)

    async def changed(self, seconds: float) -> None:
        """Return after the next `apply`, or when the time is over."""
        event = self._changed
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
