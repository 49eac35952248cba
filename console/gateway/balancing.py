"""Which replica gets a request: the one that will be done with it first.

Expected: the work that lies there and the new one's, less what of the prompt it has read before,
times the pace that was measured.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from console.gateway.replicas import Replica
from console.gateway.routes import Arm

#: Prompts are compared block by block, from the beginning.
BLOCK_BYTES = 256
BLOCKS = 64
#: Blocks remembered per revision.
REMEMBERED = 20_000
#: Work of loading an adapter that a replica does not have in memory.
ADAPTER_WORK = 50.0
#: What a prefix is worth beyond the reading that it saves, as a share: others ask it again.
PREFIX_WEIGHT = 2.0


class Wanted(Protocol):
    """What of a request decides where it goes."""

    tried: set[Replica]
    width: int
    work: float
    adapter: str
    prefix: list[int]
    block_work: float


class Prefixes:
    """Which replica has read which beginnings last, in this process."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read: OrderedDict[int, int] = OrderedDict()

    def note(self, blocks: Iterable[int], replica: Replica) -> None:
        """The replica reads a prompt that begins with these blocks."""
        read = self._read
        for block in blocks:
            read[block] = replica.id
            read.move_to_end(block)
        while len(read) > REMEMBERED:
            read.popitem(last=False)

    def known(self, blocks: Sequence[int]) -> tuple[int, int]:
        """(replica, number of blocks) of the longest beginning that was read before."""
        for count in range(len(blocks), 0, -1):
            replica = self._read.get(blocks[count - 1])
            if replica is not None:
                return replica, count
        return 0, 0


def pick(arm: Arm, wanted: Wanted, prefixes: Prefixes) -> Replica | None:
    """The best replica that may be asked now and has room; equals take turns."""
    replicas, now = arm.replicas, time.monotonic()
    if len(replicas) == 1:
        only = replicas[0]
        free = only not in wanted.tried and only.usable(now) and only.has_room(wanted.width)
        return only if free else None
    home, blocks = prefixes.known(wanted.prefix)
    saved = blocks * wanted.block_work * PREFIX_WEIGHT
    typical = _typical(replicas, now)
    arm.turn += 1
    best, least = None, 0.0
    for index in range(len(replicas)):
        replica = replicas[(arm.turn + index) % len(replicas)]
        if replica in wanted.tried or not replica.usable(now) or not replica.has_room(wanted.width):
            continue
        work = replica.work + wanted.work
        if replica.id == home:
            work -= saved
        if wanted.adapter and wanted.adapter not in replica.adapters:
            work += ADAPTER_WORK
        cost = max(work, 0.01) * (replica.pace(now) or typical)
        if best is None or cost < least:
            best, least = replica, cost
    return best


def _typical(replicas: Iterable[Replica], now: float) -> float:
    """The pace that is assumed where none was measured: the best that was."""
    return min((pace for r in replicas if (pace := r.pace(now))), default=1.0)


def usable(arm: Arm, tried: Collection[Replica] = ()) -> list[Replica]:
    """Replicas that may be asked, whether or not they have room."""
    now = time.monotonic()
    return [r for r in arm.replicas if r.usable(now) and r not in tried]


def prefix_blocks(fields: dict[str, Any], salt: str) -> list[int]:
    """A number for each beginning of the prompt, block by block; equal ones begin equally."""
    text = _prompt(fields)[: BLOCK_BYTES * BLOCKS]
    found, last = [], hash(salt)
    for end in range(BLOCK_BYTES, len(text) + 1, BLOCK_BYTES):
        last = hash((last, text[end - BLOCK_BYTES : end]))
        found.append(last)
    return found


def _prompt(fields: dict[str, Any]) -> str:
    messages = fields.get("messages")
    if isinstance(messages, list):
        parts = (m.get("content") for m in messages if isinstance(m, dict))
        return "\x00".join(part if isinstance(part, str) else repr(part) for part in parts)
    prompt = fields.get("prompt") or fields.get("input") or ""
    return prompt if isinstance(prompt, str) else repr(prompt)
