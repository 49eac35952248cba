"""Two further machines in network namespaces of their own, joined to this one by a bridge.

Only root may make them, on a Linux that has them. Addresses are of the test network
198.51.100.0/24, and no packet leaves the machine.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

BRIDGE, HOST = "slipbr0", "198.51.100.1"


def why_not() -> str:
    """Why this machine cannot do it; empty if it can."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    if shutil.which("ip") is None:
        return "there is no `ip`: install iproute2"
    try:
        _ip("netns", "add", "slip-probe")
        _ip("netns", "delete", "slip-probe")
        _ip("link", "add", "slipprobe0", "type", "bridge")
        _ip("link", "delete", "slipprobe0")
    except subprocess.CalledProcessError as error:
        return f"network namespaces or bridges are not to be had: {error.stderr.strip()}"
    return ""


@contextmanager
def network(*names: str) -> Iterator[None]:
    """A bridge with the address HOST, and a namespace with an address of its own for each name."""
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("address", "add", f"{HOST}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names, 2):
            _ip("netns", "add", name)
            _ip("link", "add", f"slip{number}", "type", "veth", "peer", "name", "eth0",
                "netns", name)  # fmt: skip
            _ip("link", "set", f"slip{number}", "master", BRIDGE, "up")
            inside = ("-n", name)
            _ip(*inside, "address", "add", f"198.51.100.{number}/24", "dev", "eth0")
            _ip(*inside, "link", "set", "eth0", "up")
            _ip(*inside, "link", "set", "lo", "up")
        yield
    finally:
        for number, name in enumerate(names, 2):
            _ip("link", "delete", f"slip{number}", check=False)
            _ip("netns", "delete", name, check=False)
        _ip("link", "delete", BRIDGE, check=False)


def partition(number: int) -> None:
    """Pull the cable of the machine with this address."""
    _ip("link", "set", f"slip{number}", "down")


def heal(number: int) -> None:
    """Plug it in again."""
    _ip("link", "set", f"slip{number}", "up")


def inside(name: str) -> list[str]:
    """Words before a command that is to run in a namespace."""
    return ["ip", "netns", "exec", name]


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True, text=True, timeout=20)
