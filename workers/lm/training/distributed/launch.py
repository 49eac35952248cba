"""Starts the processes of a parallel training by forking, and ends all when one is lost.

The starting process has the libraries loaded and has computed nothing: a fork takes a moment and
shares their memory. Each attempt is a whole new launch; nothing is mended in place, because keys
that dead processes left at a meeting point make later ones hang.
"""

import ctypes
import gc
import os
import pickle
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from workers.lm.errors import RankLost
from workers.lm.events import Events
from workers.lm.training.distributed.places import (
    Gang,
    Place,
    gang_of_nodes,
    gang_of_one_node,
)

PR_SET_PDEATHSIG = 1
#: After a first loss, so long for others to show that they were the cause. They end by themselves,
#: for their connections are cut; only one that hangs takes this long.
_CAUSE_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.1
_FAILED = 1

Work = Callable[[Place, Events], Any]


@dataclass
class _Child:
    """A started process and what it has sent so far."""

    rank: int
    pid: int
    pipe: int
    sent: bytearray = field(default_factory=bytearray)
    status: int | None = None

    @property
    def outcome(self) -> Any:
        """What its work returned or raised; None if it did not come to that."""
        return pickle.loads(self.sent) if self.sent and self.status is not None else None


class RankEvents:
    """The events of one process of several: its lines name it, and only rank 0 tells the course."""

    def __init__(self, events: Events, rank: int) -> None:
        self._events, self._rank = events, rank
        self._stop = False

    def log(self, text: str, level: str = "info", **where: Any) -> None:
        quiet = self._rank > 0 and level == "info"  # rank 0 says the same
        self._events.log(f"[rank {self._rank}] {text}", "debug" if quiet else level, **where)

    def metric(self, step: int, values: dict[str, float]) -> None:
        self._events.metric(step, values)

    def progress(self, **values: Any) -> None:
        if self._rank == 0:
            self._events.progress(**values)

    def checkpoint(self, **values: Any) -> None:
        self._events.checkpoint(**values)

    def sample(self, **values: Any) -> None:
        self._events.sample(**values)

    def should_stop(self) -> bool:
        return self._stop or self._events.should_stop()

    def stop(self) -> None:
        """The starting process has passed on a wish to stop."""
        self._stop = True


class Ranks:
    """The started processes, as a context: when it is left, none of them lives."""

    def __init__(
        self, gang: Gang, work: Work, events: Events, listener: socket.socket | None
    ) -> None:
        self.gang, self._events = gang, events
        self._children: list[_Child] = []
        self._asked = False
        gc.freeze()  # what was loaded stays shared: collections do not write to it
        try:
            for rank in gang.ranks:
                at = None if listener is None else listener.fileno()
                place = Place(gang=gang, rank=rank, listener=at)
                self._children.append(_fork(place, work, events, self._children))
        except BaseException:
            self._kill()
            raise
        finally:
            gc.unfreeze()
            if listener is not None:
                listener.close()

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()

    @property
    def pids(self) -> list[int]:
        """Process numbers by rank."""
        return [child.pid for child in self._children]

    def result(self) -> Any:
        """Wait to the end; what rank 0 returned, or None on the nodes that it is not on.

        Raises what a process raised, or RankLost when one was killed or lost its connection:
        then all others are ended first.
        """
        with selectors.DefaultSelector() as pipes:
            for child in self._children:
                pipes.register(child.pipe, selectors.EVENT_READ, child)
            while pipes.get_map() and not self._failed():
                self._look(pipes, _LOOK_EVERY_S)
            deadline = time.monotonic() + _CAUSE_WITHIN_S
            while pipes.get_map() and not self._killed() and time.monotonic() < deadline:
                self._look(pipes, max(0.0, deadline - time.monotonic()))
        ended = [child for child in self._children if child.status is not None]
        self._kill()
        if self._failed():
            cause = _cause(ended, self.gang.world)
            if not self.gang.on_one_node and isinstance(cause, RankLost) and cause.is_cut_off:
                time.sleep(_CAUSE_WITHIN_S)  # another node knows why, and then we are ended first
            raise cause
        return ended[0].outcome[1]

    def _look(self, pipes: selectors.BaseSelector, wait_s: float) -> None:
        if not self._asked and self._events.should_stop():
            self._asked = True
            _signal(self._children, signal.SIGTERM)
        for key, _ in pipes.select(wait_s):
            child: _Child = key.data
            if piece := os.read(child.pipe, 1 << 16):
                child.sent += piece
                continue
            pipes.unregister(child.pipe)  # closed: it has ended
            child.status = os.waitpid(child.pid, 0)[1]

    def _failed(self) -> bool:
        return any(child.status for child in self._children)

    def _killed(self) -> bool:
        """Whether a signal ended one of them: then the cause of all that follows is known."""
        return any(child.status and os.WIFSIGNALED(child.status) for child in self._children)

    def _kill(self) -> None:
        _signal(self._children, signal.SIGKILL)
        for child in self._children:
            if child.status is None:
                child.status = os.waitpid(child.pid, 0)[1]
            if child.pipe >= 0:
                os.close(child.pipe)
                child.pipe = -1


def started(
    world: int, work: Work, events: Events, meeting: Mapping[str, Any] | None = None
) -> Ranks:
    """Start `world` processes on this machine; each calls `work` with its place and its events.

    With `meeting` (see `gang_of_nodes`) it is this node's share of them that are started.
    """
    gang, listener = gang_of_nodes(world, meeting) if meeting else gang_of_one_node(world)
    return Ranks(gang, work, events, listener)


def _fork(place: Place, work: Work, events: Events, others: Iterable[_Child]) -> _Child:
    reading, writing = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(writing)
        return _Child(place.rank, pid, reading)
    status = _FAILED
    try:  # this process never returns from here
        _settle_in(parent, [reading, *(child.pipe for child in others)])
        own = RankEvents(events, place.rank)
        signal.signal(signal.SIGTERM, lambda *_: own.stop())
        status = _run(place, work, own, writing)
    finally:
        os._exit(status)


def _settle_in(parent: int, strangers: Iterable[int]) -> None:
    """Die with the parent, and keep nothing of it that others need."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_FAILED)
    for pipe in strangers:
        os.close(pipe)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _run(place: Place, work: Work, events: RankEvents, pipe: int) -> int:
    """Work, and send what comes of it; returns the exit status."""
    try:
        outcome, status = ("returned", work(place, events)), 0
    except BaseException as error:
        if not _is_expected(error):
            events.log(traceback.format_exc(), "error")
        outcome, status = ("raised", error), _FAILED
    if status == 0 and place.rank > 0:
        outcome = ("returned", None)
    rest = memoryview(_pickled(outcome))
    while rest:
        rest = rest[os.write(pipe, rest) :]
    return status


def _pickled(outcome: tuple[str, Any]) -> bytes:
    """Between processes of one program only; never a file."""
    try:
        return pickle.dumps(outcome)
    except Exception:
        error = outcome[1]
        return pickle.dumps((outcome[0], RuntimeError(f"{type(error).__name__}: {error}")))


def _is_expected(error: BaseException) -> bool:
    """Errors of ours say in words what happened."""
    return type(error).__module__ == "workers.lm.errors"


def _cause(ended: list[_Child], world: int) -> BaseException:
    """Why the training ended: a killed process before an error, an error before a lost peer."""
    for child in ended:
        if child.status is not None and os.WIFSIGNALED(child.status):
            name = signal.Signals(os.WTERMSIG(child.status)).name
            return RankLost(child.rank, world, f"was killed by {name}")
    raised = [(child.rank, child.outcome[1]) for child in ended if child.status and child.outcome]
    for _, error in raised:
        if not _is_about_peers(error):
            return error  # type: ignore[no-any-return]
    if raised:
        rank, error = raised[0]
        how = f"lost its connection to the others: {error}"
        return RankLost(rank, world, how, is_cut_off=True)
    rank = next(child.rank for child in ended if child.status)
    return RankLost(rank, world, "ended without a word")


def _is_about_peers(error: BaseException) -> bool:
    """Whether an error only tells that another process does not answer."""
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    return isinstance(error, RuntimeError) and any(
        word in text for word in ("gloo", "Dist", "NCCL", "Connection", "Broken pipe")
    )


def _signal(children: Iterable[_Child], number: signal.Signals) -> None:
    for child in children:
        if child.status is None:
            os.kill(child.pid, number)
