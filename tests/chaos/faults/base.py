"""What a fault is: something that is broken at one moment and mended at a later one."""

import random
from dataclasses import dataclass
from typing import ClassVar

from tests.chaos.load import Load
from tests.chaos.site import LEASE_S, ChaosSite


class Skip(Exception):
    """This machine does not allow the fault; says why."""


@dataclass
class Scene:
    """Where a fault takes place."""

    site: ChaosSite
    load: Load
    random: random.Random

    def node(self) -> str:
        """One of the further nodes."""
        return self.random.choice(sorted(self.site.nodes))

    def training_node(self) -> str:
        """The node of the running training, or any."""
        row = self.site.truth.one(
            "SELECT node_name FROM jobs_job WHERE id = %s AND lease_until IS NOT NULL",
            self.load.current(),
        )
        return str(row["node_name"]) if row else self.node()

    def running(self, limit: int = 20) -> list[int]:
        """Short jobs that run now, newest first."""
        rows = self.site.truth.rows(
            "SELECT id FROM jobs_job WHERE id = ANY(%s) AND state = 'running'"
            " ORDER BY id DESC LIMIT %s",
            list(self.load.shorts), limit,
        )  # fmt: skip
        return [int(row["id"]) for row in rows]


class Fault:
    """Subclass it and put it on the list of `faults`."""

    name: ClassVar[str]
    #: It may end the attempt of a training, so the training first gets time for a checkpoint.
    harmful: ClassVar[bool] = True
    #: Shortest and longest time until it is mended.
    holds_s: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.site, self.load, self.random = scene.site, scene.load, scene.random

    def hold_s(self) -> float:
        return self.random.uniform(*self.holds_s)

    def inject(self) -> None:
        """Break it. Raises Skip where the machine does not allow that."""
        raise NotImplementedError

    def mend(self) -> None:
        """Undo what does not mend itself."""


def leases(*factors: float) -> list[float]:
    """Times as multiples of the lease."""
    return [factor * LEASE_S for factor in factors]
