"""Which TCP ports are free, and which ones to choose for servers of our own."""

import random
import socket
from pathlib import Path

from launcher.errors import BadOption, PortTaken

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _HIGHEST = 15000, 30000
#: Connections that wait until somebody takes them; the kernel has a limit of its own.
_BACKLOG = 2048


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: a port is not taken by connections of a server that has ended.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError:
        return False
    return True


def require_free(host: str, port: int, variable: str) -> None:
    """Raise PortTaken, naming the variable to change."""
    if not is_free(host, port):
        raise PortTaken(
            f"Port {port} on {host} is taken by another program (or may not be used). "
            f"Stop that program, or choose another port: {variable}={port + 1}"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, to be served by processes that get its number (`uvicorn --fd`).

    It is the launcher's: who connects while one of them is being restarted waits or gets another
    one, and is not refused. Raises PortTaken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError:
        raise PortTaken(f"Port {port} on {host} was taken by another program just now.") from None
    # Handed on to every connection: events of a stream must not wait for acknowledgements.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def require_address(host: str, variable: str) -> None:
    """Raise BadOption unless `host` is an address (or a name of one) of this machine."""
    if host and not is_free(host, 0):
        raise BadOption(
            f"{variable}={host} is no address of this machine. Name the one under which the other "
            "machines reach it (see `ip addr`)."
        )


def choose(
    preferred: int | None = None,
    *,
    avoid: frozenset[int] = frozenset(),
    host: str = "",
) -> int:
    """The preferred port where it is still free, else any free one on loopback (and `host`).

    Never from the kernel's ephemeral range: while a server is being restarted, a client that
    retries could get that very port as its own and connect to itself, and the server could not
    come back.
    """
    hosts = {"127.0.0.1", host or "127.0.0.1"}

    def fits(port: int) -> bool:
        return port not in avoid and all(is_free(each, port) for each in hosts)

    if preferred and fits(preferred):
        return preferred
    first, last = _ephemeral_range()
    for _ in range(2000):
        port = random.randint(_LOWEST, _HIGHEST)
        if not first <= port <= last and fits(port):
            return port
    with socket.socket() as probe:  # a machine whose ephemeral range swallows ours
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ephemeral_range() -> tuple[int, int]:
    try:
        first, last = _EPHEMERAL_RANGE.read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return 32768, 65535
