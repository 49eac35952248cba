"""One of the processes that hold a model together, but for the leader: does what it is told.

It ends with the leader: by the kernel, and by the end of its line.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from multiprocessing.connection import Connection

PR_SET_PDEATHSIG = 1
EXIT_REFUSED, EXIT_FAILED, EXIT_ORPHAN = 2, 3, 70


def main(fd: int, parent: int) -> int:
    """Read one part of the model, then do as the leader does until the line ends."""
    _end_with(parent)
    line = Connection(fd)
    values, store, rank, world = line.recv()

    import torch

    from .errors import ModelRefused
    from .parallel import build_part
    from .server import ServeOptions

    line.send(("here", ""))
    try:
        part = build_part(ServeOptions(**values), store, rank, world)
    except ModelRefused as error:
        line.send(("refused", str(error)))
        return EXIT_REFUSED
    except Exception as error:
        traceback.print_exc()
        line.send(("refused", f"{type(error).__name__}: {error}"))
        return EXIT_FAILED
    line.send(("ready", ""))
    with torch.inference_mode():
        while True:
            try:
                target, method, args, kwargs = line.recv()
            except (EOFError, OSError):
                return 0
            part.do(target, method, args, kwargs)


def _end_with(parent: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(EXIT_ORPHAN)
    # Who asks the job to stop asks its leader, which ends the line when all answers are finished.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    try:
        status = main(int(sys.argv[1]), int(sys.argv[2]))
    except BaseException:
        traceback.print_exc()
        status = EXIT_FAILED
    # Threads of the exchanges must not keep it alive.
    os._exit(status)
