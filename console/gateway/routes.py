"""Where a deployment's name leads: its revisions that answer, their replicas, how each is doing."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from console.gateway.replicas import Replica

#: Shares are counted in hundredths of a percent.
CELLS = 10_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a revision's configuration says of requests on their way to it."""

    queue_limit: int = 64
    queue_wait_s: int = 30
    deadline_s: int = 600
    response_cache_s: int = 0
    share_answers: bool = False
    max_slots: int = 16

    @classmethod
    def read(cls, settings: dict[str, Any]) -> "Traffic":
        """From the row of an arm; what it does not say has its default."""
        return cls(**{name: settings[name] for name in _TRAFFIC if name in settings})


DEFAULTS = Traffic()
_TRAFFIC = tuple(item.name for item in fields(Traffic))


@dataclass(frozen=True, slots=True)
class Judge:
    """A deployment, by its public name, that says of a copy whether it is better, and by what:
    `likelihood` or `question`.
    """

    name: str
    by: str


@dataclass(slots=True)
class Arm:
    """A revision that gets requests. `percent` of all arms of a route together is 100."""

    revision_id: int
    number: int
    digest: str
    fingerprint: str
    version: str
    family: str
    percent: float
    mirror_percent: float
    settings: Traffic
    adapters: frozenset[str]
    replicas: list[Replica]
    #: Of the copies that this arm gets.
    judge: Judge | None = None
    #: Whose turn it is among equally busy replicas.
    turn: int = field(default=0, compare=False)

    @classmethod
    def read(cls, row: dict[str, Any], replicas: list[Replica]) -> "Arm":
        """From a row of the table."""
        names = ("revision_id", "number", "digest", "fingerprint", "version", "family")
        return cls(
            **{name: row[name] for name in names},
            percent=row["percent"],
            mirror_percent=row["mirror_percent"],
            settings=Traffic.read(row["settings"]),
            adapters=frozenset(row["adapters"]),
            replicas=replicas,
            judge=Judge(**row["judge"]) if row.get("judge") else None,
        )


class Route:
    """A deployment that may be asked. `arms` begins with the active revision."""

    __slots__ = ("arms", "asleep", "created", "deployment_id", "name", "team_id")

    def __init__(self, row: dict[str, Any], arms: list[Arm]) -> None:
        self.name: str = row["name"]
        self.deployment_id: int = row["deployment_id"]
        self.team_id: int = row["team_id"]
        self.created: int = row["created"]
        #: Scaled to zero: a request wakes it.
        self.asleep: bool = row["asleep"]
        self.arms = arms

    @property
    def active(self) -> Arm:
        """The arm of the active revision."""
        return self.arms[0]

    def share(self, sticky: str) -> Arm:
        """The arm for whoever `sticky` stands for: the same one in every process, as long as the
        shares stay; a share that grows only adds people.
        """
        if len(self.arms) == 1:
            return self.arms[0]
        cell, upto = self._cell(sticky), 0.0
        for arm in self.arms[1:]:
            upto += arm.percent * (CELLS / 100)
            if cell < upto:
                return arm
        return self.arms[0]

    def _cell(self, sticky: str) -> int:
        # The candidate is part of the salt: not always the same people try what is new.
        salt = f"{self.deployment_id}:{self.arms[1].revision_id}:"
        digest = hashlib.blake2b((salt + sticky).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % CELLS


class Routes:
    """All routes. Replaced as a whole; what is known of a replica survives while its epoch does."""

    def __init__(self) -> None:
        self.by_name: dict[str, Route] = {}
        #: By the version that is served, `team/model:v3`; of several deployments the first one.
        self.by_version: dict[str, Route] = {}
        self.loaded = False
        #: Called after every change of the table.
        self.on_change: list[Callable[[], None]] = []

    def apply(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take over a fresh table."""
        known = {(r.id, r.epoch, r.address): r for r in self.replicas()}
        fresh: dict[str, Route] = {}
        versions: dict[str, Route] = {}
        for row in sorted(rows, key=lambda row: str(row["name"])):
            arms = []
            for item in row["arms"]:
                slots = item["settings"].get("max_slots", DEFAULTS.max_slots)
                replicas = [Replica(replica, slots) for replica in item["replicas"]]
                kept = [known.get((r.id, r.epoch, r.address), r) for r in replicas]
                arms.append(Arm.read(item, kept))
            fresh[row["name"]] = route = Route(row, arms)
            versions.setdefault(route.active.version, route)
        self.by_name, self.by_version = fresh, versions
        self.loaded = True
        for tell in self.on_change:
            tell()

    def replicas(self) -> list[Replica]:
        """Every replica of the table."""
        return [
            replica
            for route in self.by_name.values()
            for arm in route.arms
            for replica in arm.replicas
        ]

    def find(self, model: str) -> tuple[Route, str] | None:
        """What a request names, with the adapter or "".

        A name is `team/deployment`, `team/deployment:adapter` or a version that is served.
        """
        route = self.by_name.get(model) or self.by_version.get(model)
        if route is not None:
            return route, ""
        name, _, adapter = model.rpartition(":")
        route = self.by_name.get(name) if adapter else None
        if route is None or not any(adapter in arm.adapters for arm in route.arms):
            return None
        return route, adapter
