"""One model server as this process knows it: whether it may be asked, and how much it has to do."""

import time
from typing import Any

from models_app.deployments.secrets import replica_secret

#: Seconds a replica is left alone after its n-th failure in a row.
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
#: A replica that says 503 is leaving or not there yet: the table follows within a second.
REFUSED_S = 0.5
#: Requests beyond its slots that a replica gets, so that it never waits for the gateway.
AHEAD = 0.25
#: Share of the newest request in what is known of a replica's pace.
_NEW = 0.2
#: A replica that got nothing for so long is half forgiven its slowness.
_FORGIVE_S = 10.0


class Replica:
    """One model server."""

    __slots__ = (
        "_pace",
        "_paced_at",
        "adapters",
        "address",
        "ejected",
        "ejected_until",
        "epoch",
        "failures",
        "good_at",
        "headers",
        "id",
        "missed",
        "node",
        "outstanding",
        "probed_at",
        "rests_until",
        "slots",
        "work",
    )

    def __init__(self, row: dict[str, Any], slots: int) -> None:
        self.id: int = row["id"]
        self.epoch: int = row["epoch"]
        self.node: str = row["node"]
        host = row["host"]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{row['port']}"
        self.headers = {
            "authorization": f"Bearer {replica_secret(self.id, self.epoch)}",
            "content-type": "application/json",
        }
        #: Sequences that it computes side by side.
        self.slots = slots
        #: Sequences that this process has there, and the work they stand for.
        self.outstanding = 0
        self.work = 0.0
        self.failures = 0
        self.ejected = False
        self.ejected_until = 0.0
        self.rests_until = 0.0
        #: When it last answered anything, and when it was last asked how it is.
        self.good_at = time.monotonic()
        self.probed_at = 0.0
        #: Probes in a row without an answer.
        self.missed = 0
        #: Adapters that it has in memory, as far as known.
        self.adapters: frozenset[str] = frozenset()
        self._pace = 0.0
        self._paced_at = 0.0

    def has_room(self, width: int) -> bool:
        """Whether so many more sequences may be sent there now."""
        return self.outstanding == 0 or self.outstanding + width <= self.limit

    @property
    def limit(self) -> int:
        """Sequences that this process may have there: its slots and a little ahead."""
        return self.slots + max(1, int(self.slots * AHEAD))

    def usable(self, now: float) -> bool:
        """Whether it may be asked."""
        return not self.ejected and self.rests_until <= now

    def eject(self) -> None:
        """It did not answer: leave it alone, longer each time, until a probe finds it well."""
        wait = BACK_OFF_S[min(self.failures, len(BACK_OFF_S) - 1)]
        self.failures += 1
        self.ejected = True
        self.ejected_until = time.monotonic() + wait

    def readmit(self) -> None:
        """A probe found it well. Its failures are forgotten only by an answer."""
        self.ejected = False
        self.missed = 0
        self.good_at = time.monotonic()

    def rest(self) -> None:
        """It refused politely: prefer others for a moment."""
        self.rests_until = time.monotonic() + REFUSED_S

    def worked(self) -> None:
        """It answered."""
        self.failures = self.missed = 0
        self.ejected = False
        self.good_at = time.monotonic()

    def note_pace(self, seconds: float, work: float) -> None:
        """A request of so much work took so long, waiting among the others included."""
        pace, now = seconds / max(work, 1.0), time.monotonic()
        self._pace = pace if not self._pace else self._pace + _NEW * (pace - self._pace)
        self._paced_at = now

    def pace(self, now: float) -> float:
        """Seconds a unit of work takes here, 0 while unknown. What is old counts less and less:
        otherwise a replica that was slow once would never be tried again.
        """
        age = now - self._paced_at
        if age < 1.0 or self.outstanding:
            return self._pace
        return self._pace * float(0.5 ** (age / _FORGIVE_S))
