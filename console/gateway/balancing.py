"""Which replica gets a request: the one with the fewest unfinished ones."""

import time
from collections.abc import Collection

from console.gateway.routes import Arm, Replica


def pick(arm: Arm, tried: Collection[Replica], limit: int) -> Replica | None:
    """The least busy replica that may be asked now; equals take turns."""
    replicas = arm.replicas
    now = time.monotonic()
    best: Replica | None = None
    arm.turn += 1
    for index in range(len(replicas)):
        replica = replicas[(arm.turn + index) % len(replicas)]
        if replica in tried or replica.ejected_until > now or replica.outstanding >= limit:
            continue
        if best is None or replica.outstanding < best.outstanding:
            best = replica
    return best


def full(arm: Arm, limit: int) -> bool:
    """Whether there are replicas that would answer if they had not so much to do."""
    now = time.monotonic()
    alive = [replica for replica in arm.replicas if replica.ejected_until <= now]
    return bool(alive) and all(replica.outstanding >= limit for replica in alive)
