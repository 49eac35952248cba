"""Which network interface of this machine has an address: exchanges between nodes go by it."""

import fcntl
import socket
import struct
from pathlib import Path

from workers.lm.errors import InvalidTraining

#: From linux/sockios.h: the IPv4 address of an interface.
SIOCGIFADDR = 0x8915
#: Every IPv6 address of this machine, a line each: address, number, prefix, scope, flags, name.
IPV6 = Path("/proc/net/if_inet6")


def interface_of(address: str) -> str:
    """The name of the interface; InvalidTraining for an address that no interface has."""
    for found in {info[4][0] for info in socket.getaddrinfo(address, None)}:
        name = _ipv6(str(found)) if ":" in str(found) else _ipv4(str(found))
        if name:
            return name
    raise InvalidTraining(
        "nodes",
        f"{address}, by which other nodes shall reach this one, is no address of this machine. "
        "Set SLIPWAY_NODE_ADDRESS on it to one that they reach.",
    )


def _ipv4(address: str) -> str:
    if address.startswith("127."):
        address = "127.0.0.1"  # all of these are the loopback's
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(asking, SIOCGIFADDR, request)
            except OSError:  # an interface without an IPv4 address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return ""


def _ipv6(address: str) -> str:
    wanted = socket.inet_pton(socket.AF_INET6, address.partition("%")[0]).hex()
    for line in IPV6.read_text().splitlines() if IPV6.exists() else ():
        words = line.split()
        if words[0] == wanted:
            return words[-1]
    return ""
