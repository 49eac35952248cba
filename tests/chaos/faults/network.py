"""Faults of the network between one further node and the servers."""

from collections.abc import Sequence

from tests.chaos.faults.base import Fault, leases
from tests.chaos.node import SERVERS, Server
from tests.chaos.proxy import Mode


class Partition(Fault):
    """The node of the training is cut off for a part of the lease, or for several of them."""

    name = "partition"
    servers: Sequence[Server] = SERVERS
    mode: Mode = "hole"
    factors = (0.5, 1.2, 3.0)

    def hold_s(self) -> float:
        return self.random.choice(leases(*self.factors))

    def inject(self) -> None:
        node = self.scene.training_node()
        self.victim = node if node in self.site.nodes else self.scene.node()
        self.site.partition(self.victim, self.servers, self.mode)

    def mend(self) -> None:
        self.site.heal(self.victim)


class PartitionFromDatabase(Partition):
    name = "partition_database"
    servers = ("database",)


class PartitionFromRedis(Partition):
    name = "partition_redis"
    servers = ("redis",)
    harmful = False


class Severed(Partition):
    """Connections are reset, new ones refused."""

    name = "severed"
    mode = "cut"
