"""What a worker and its template say to each other: JSON in packets, with open files beside it.

To the template: {"order", "plan", "folder", "environment", "keep"} with stdin, the spool and the
files to keep under these numbers; {"release": pid}.
From the template: {"ready"} or {"unsafe": why}; {"order", "started": pid} or {"order", "refused":
why}; {"ended": pid, "status"}, where a status below zero is the number of a signal.
"""

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

#: Bytes of one message (paths and a small environment), and files beside it.
MOST, MOST_HANDLES = 1 << 16, 32


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends; packets keep their borders, and a closed end is seen at once."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(line: socket.socket, message: dict[str, Any], handles: Sequence[int] = ()) -> None:
    """OSError: the other end is gone."""
    socket.send_fds(line, [json.dumps(message).encode()], list(handles))


def receive(line: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and the files that came with it; None when the other end is gone."""
    try:
        data, found, _flags, _address = socket.recv_fds(line, MOST, MOST_HANDLES)
    except ConnectionError:
        data, found = b"", []
    for handle in found:
        os.set_inheritable(handle, False)
    return (json.loads(data) if data else None), found
