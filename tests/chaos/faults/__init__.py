"""The catalogue of faults, and which of them a seed gets."""

import random

from tests.chaos.faults import machine, messages, network, operations, processes, servers
from tests.chaos.faults.base import Fault, Scene, Skip

__all__ = ["CATALOGUE", "Fault", "Scene", "Skip", "chosen"]

CATALOGUE: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        processes.ChildKilled, processes.WorkerKilled, processes.NodeKilled,
        processes.WorkerTerminated, processes.WorkerFrozen, processes.WebKilled,
        processes.BeatKilled, processes.LauncherKilled, processes.EverythingKilled,
        servers.RedisKilled, servers.RedisLost, servers.RedisFlushed, servers.RedisFrozen,
        servers.PostgresStopped, servers.PostgresKilled, servers.BackendTerminated,
        servers.TwoBeats,
        network.Partition, network.PartitionFromDatabase, network.PartitionFromRedis,
        network.Severed,
        messages.GoRepeated,
        operations.Drained, operations.Paused, operations.Cancelled, operations.Preempted,
        operations.HomeCordoned,
        machine.Starved, machine.DiskFull, machine.ClockSkewed,
    )
}  # fmt: skip


def chosen(seed: int, count: int, names: list[str] | None = None) -> list[str]:
    """The faults of a seed, in order: consecutive seeds deal from one shuffled deck.

    So a few seeds meet every fault, and which ones meet in one seed changes with each deal.
    """
    names = names or list(CATALOGUE)
    hand: list[str] = []
    for place in range(seed * count, (seed + 1) * count):
        deal, card = divmod(place, len(names))
        deck = sorted(names)
        random.Random(f"deal {deal}").shuffle(deck)
        hand.append(deck[card])
    random.Random(f"order {seed}").shuffle(hand)
    return hand
