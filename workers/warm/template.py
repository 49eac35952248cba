"""The template: loads what jobs need, computes nothing, and forks a process for each attempt.

    python -m workers.warm.template

Its stdin is a channel to its worker (see `channel`); when that closes, it ends, and by PDEATHSIG
all that it has forked. It stays a process of one thread that has touched no accelerator: otherwise
it says so and is not used, for a fork would not be safe.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from workers.isolation import gate
from workers.warm import channel, guise

PR_SET_PDEATHSIG = 1
#: What the kinds import when they run.
LIBRARIES = (
    "torch",
    "torch._dynamo",  # the first optimizer would load it
    "safetensors.torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "workers.lm.compute.environment",
    "workers.lm.compute.sources",
    "workers.lm.training.distributed.training",
    "workers.lm.training.markov",
    "workers.lm.training.run",
)
#: A file of these that is open or mapped shows that somebody has asked for an accelerator.
ACCELERATORS = (
    "/dev/nvidia", "/dev/kfd", "/dev/dri", "libcuda.so", "libnvidia-ml", "libhsa-runtime",
)  # fmt: skip
CHILD = "workers.child"
#: What is handled here and has its default in a job's process.
SIGNALS = (signal.SIGCHLD, signal.SIGTERM)


def main() -> None:
    """Load, say that it is ready, then fork as asked until the channel closes."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # A wish to stop goes to the jobs and the worker; this ends with the worker.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    given = dict(os.environ)
    line = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # what is run while loading must not hold the channel open
    os.close(nothing)
    load()
    gc.collect()
    gc.freeze()  # what was loaded stays shared: collections do not write to it
    why = unsafe()
    channel.send(line, {"unsafe": why} if why else {"ready": True})
    if not why:
        set_by_loading = dict(os.environ.items() - given.items())
        Template(line, set_by_loading).serve()


def load() -> None:
    """What a job's process would load before its first step."""
    import django

    django.setup()
    for name in LIBRARIES:
        importlib.import_module(name)
    from workers.lm.compute import packages

    # Read from hundreds of files for the record of each training.
    packages.package_versions()
    packages.package_digests()


def unsafe() -> str:
    """Why this process must not be forked; empty if it may."""
    if (count := len(list(Path("/proc/self/task").iterdir()))) > 1:
        return f"what it loaded has started {count - 1} threads"
    seen = Path("/proc/self/maps").read_text().splitlines()
    seen += [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    for name in ACCELERATORS:
        if any(name in line for line in seen):
            return f"what it loaded has opened {name}"
    return ""


class Template:
    """Serves one worker; its children stay zombies until the worker lets go of them."""

    def __init__(self, line: socket.socket, set_by_loading: dict[str, str]) -> None:
        self._line, self._set_by_loading = line, set_by_loading
        self._running: set[int] = set()
        self._woken, waker = os.pipe()
        for end in (self._woken, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until the worker is gone."""
        while True:
            ready, _, _ = select.select([self._line.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._tell_ends()
            if self._line.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        message, handles = channel.receive(self._line)
        if message is None:
            return False
        if "release" in message:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(message["release"], 0)
            return True
        answer: dict[str, Any]
        try:
            answer = {"started": self._fork(message, handles)}
        except OSError as error:
            answer = {"refused": str(error)}
        finally:
            for handle in handles:
                os.close(handle)
        channel.send(self._line, {"order": message["order"], **answer})
        # It may have ended before it was known here.
        self._tell_ends()
        return True

    def _fork(self, order: dict[str, Any], handles: list[int]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                _become(order, handles)
                os.environ.update(self._set_by_loading)
                runpy.run_module(CHILD, run_name="__main__", alter_sys=True)
            except BaseException:
                traceback.print_exc()
            finally:  # the program of a child ends by itself
                os._exit(1)
        self._running.add(pid)
        return pid

    def _tell_ends(self) -> None:
        for pid in list(self._running):
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                self._running.discard(pid)
                killed = found.si_code != os.CLD_EXITED
                status = -found.si_status if killed else found.si_status
                channel.send(self._line, {"ended": pid, "status": status})


def _become(order: dict[str, Any], handles: list[int]) -> None:
    """In the fork: be as a process that was started for the attempt alone, and pass the gate."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for handled in SIGNALS:
        signal.signal(handled, signal.SIG_DFL)
    stdin, spool, *kept = handles
    _have_open({0: stdin, 1: spool, 2: spool, **dict(zip(order["keep"], kept, strict=True))})
    try:
        guise.put_on([sys.executable, "-m", CHILD, order["folder"]], order["environment"])
        gate.enter(order["plan"])
    except OSError as error:
        gate.refused(error)
    sys.argv[:] = [CHILD, order["folder"]]
    tempfile.tempdir = None  # it may have been asked for while loading
    _draw_anew()


def _have_open(wanted: dict[int, int]) -> None:
    """These handles under these numbers, and no others."""
    here = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    first_free = 1 + max(*here, *wanted)
    # Out of the way first: a handle may have the number that another one is to get.
    aside = {
        number: fcntl.fcntl(handle, fcntl.F_DUPFD, first_free) for number, handle in wanted.items()
    }
    os.closerange(3, first_free)
    for number, handle in aside.items():
        os.dup2(handle, number)
    os.closerange(first_free, 1 + max(aside.values()))


def _draw_anew() -> None:
    """Random numbers that nobody has seeded differ from process to process; Python's own do."""
    import numpy

    numpy.random.seed()


if __name__ == "__main__":
    main()
