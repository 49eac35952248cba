"""Where each process of a parallel training stands, and where all of them meet."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Gang:
    """The processes that one node starts, of all those that train together.

    On one node these are all; with several, each node starts as many (`local`), from `first` on,
    and `host` is an address of the node of rank 0 that the others reach. `own` is the address of
    this node by which it exchanges with the others, and `token` begins the names of everything
    that is left at the meeting point, so that nobody finds it who was not told.
    """

    world: int
    first: int
    local: int
    host: str
    port: int
    own: str = ""
    token: str = ""

    @property
    def ranks(self) -> range:
        """The ranks that this node starts."""
        return range(self.first, self.first + self.local)

    @property
    def firsts(self) -> range:
        """The first rank of each node."""
        return range(0, self.world, self.local)

    @property
    def on_one_node(self) -> bool:
        """Whether nothing of it needs to leave the machine."""
        return self.local == self.world


@dataclass(frozen=True, kw_only=True)
class Place:
    """One process of a gang. Rank 0 listens on `listener`, which was open before it was forked."""

    gang: Gang
    rank: int
    listener: int | None = None

    @property
    def number(self) -> int:
        """Counts the processes of one node from zero; it chooses the device."""
        return self.rank - self.gang.first


def gang_of_one_node(world: int) -> tuple[Gang, socket.socket]:
    """All processes on this machine, and the open socket that they meet at: a port of its own
    for each attempt, so that nothing of an earlier one can answer."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=max(16, 2 * world))
    port = listener.getsockname()[1]
    return Gang(world=world, first=0, local=world, host="127.0.0.1", port=port), listener


def gang_of_nodes(world: int, meeting: Mapping[str, Any]) -> tuple[Gang, socket.socket | None]:
    """This node's share of a gang over several, and on the first node the socket they meet at.

    `meeting` says which node this is (`number` of `nodes`), where all meet (`host`, `port`,
    `token`), this node's `own` address, and on the first node the number of the open `listener`.
    """
    local = world // meeting["nodes"]
    gang = Gang(
        world=world,
        first=meeting["number"] * local,
        local=local,
        host=meeting["host"],
        port=meeting["port"],
        own=meeting["own"],
        token=meeting["token"],
    )
    listener = meeting.get("listener")
    return gang, None if listener is None else socket.socket(fileno=listener)
