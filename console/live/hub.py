"""One reader for each watched log in this process: read once, the same frame to every socket.

A bell wakes it; a slow poll covers bells that were lost. A socket that cannot follow is taken off
the shared frames and reads from its own position until it has caught up, so that it misses nothing
and holds no memory. See docs/decisions/0008-log-hub.md.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from console.live.log_frames import Frame, closing, read_live, read_past
from models_app.jobs.logs import log_topic

logger = logging.getLogger(__name__)
#: Lines that come within this time share a frame; a little longer where many sockets listen.
COALESCE_S = 0.04
COALESCE_EACH_S = 0.0004
POLL_S = 1.5
#: What a lost node brings back after the end is in no hurry.
CLOSED_POLL_S = 10.0
RETRY_S = 1.0
#: Frames a socket may be behind before it reads for itself.
IN_FLIGHT = 16

Send = Callable[[str], Awaitable[None]]
Check = Callable[[], Awaitable[bool]]
_hubs: "WeakKeyDictionary[Any, dict[int, LogHub]]" = WeakKeyDictionary()


def hub_of(job_id: int) -> "LogHub":
    """The hub of a job's log in this process; it lives while somebody watches."""
    hubs = _hubs.setdefault(asyncio.get_running_loop(), {})
    if job_id not in hubs:
        hubs[job_id] = LogHub(job_id)
    return hubs[job_id]


class LogHub:
    """Reads one log and shares its frames."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        #: Number of the last line that was shared; known once `ready` is set.
        self.position = 0
        self.closed = False
        self.ready = asyncio.Event()
        self.viewers: set[Viewer] = set()
        self._moved = asyncio.Event()
        self._bell = asyncio.Event()
        self._shared_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def join(self, viewer: "Viewer") -> None:
        self.viewers.add(viewer)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"log-hub-{self.job_id}")

    def leave(self, viewer: "Viewer") -> None:
        self.viewers.discard(viewer)
        if not self.viewers and self._task is not None:
            self._task.cancel()
            hubs = _hubs.get(asyncio.get_running_loop(), {})
            if hubs.get(self.job_id) is self:
                del hubs[self.job_id]

    async def moved(self) -> None:
        """Wait until something was shared."""
        await self._moved.wait()

    async def _run(self) -> None:
        listener = asyncio.create_task(self._listen())
        try:
            while True:
                try:
                    await self._follow()
                except DatabaseError as error:
                    logger.warning("log of job %s cannot be read: %s", self.job_id, error)
                except Exception:
                    logger.exception("log of job %s", self.job_id)
                await asyncio.sleep(RETRY_S)
        finally:
            listener.cancel()

    async def _follow(self) -> None:
        """Read whenever there may be something, for ever."""
        if not self.ready.is_set():
            # The bell is heard already: what is stored from now on rings.
            self.position = (await read_live(self.job_id, None)).log_seq
            self.ready.set()
        while True:
            self._bell.clear()
            found = await read_live(self.job_id, self.position)
            for frame in found.frames:
                self._share(frame)
            if found.closed and not self.closed:
                self.closed = True
                if not found.frames:
                    self._share(closing(self.job_id, self.position))
            if found.full:
                # More is there at once; the sockets get their turn meanwhile.
                await asyncio.sleep(0)
                continue
            await self._pause()

    async def _pause(self) -> None:
        poll = CLOSED_POLL_S if self.closed else POLL_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), poll)
        wait = COALESCE_S + COALESCE_EACH_S * len(self.viewers)
        await asyncio.sleep(max(0.0, self._shared_at + wait - time.monotonic()))

    def _share(self, frame: Frame) -> None:
        self.position = max(self.position, frame.last)
        self._shared_at = time.monotonic()
        for viewer in self.viewers:
            viewer.offer(frame)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _listen(self) -> None:
        """Hear the bell. While Redis is away the poll goes on."""
        layer: Any = get_channel_layer()
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(log_topic(self.job_id), channel)
                self._bell.set()
                try:
                    while True:
                        await layer.receive(channel)
                        self._bell.set()
                finally:
                    await layer.group_discard(log_topic(self.job_id), channel)
            except (RedisError, OSError) as error:
                logger.warning("bell of the log of job %s: %s", self.job_id, error)
            await asyncio.sleep(RETRY_S)


class Viewer:
    """One socket that watches one log, from a number on."""

    def __init__(self, hub: LogHub, after: int, send: Send, allowed: Check) -> None:
        self.hub, self.position = hub, after
        self._send, self._allowed = send, allowed
        #: Frames that follow `position`, shared with others.
        self._queue: deque[Frame] = deque()
        self._joined = False
        self._told_end = False
        self._wake = asyncio.Event()

    def offer(self, frame: Frame) -> None:
        """The hub has a frame. Whoever has too many waiting reads for itself from then on."""
        if not self._joined:
            return
        if len(self._queue) >= IN_FLIGHT:
            self._joined = False
        else:
            self._queue.append(frame)
        self._wake.set()

    async def run(self) -> None:
        """Bring every line until it is cancelled or may not be heard any more."""
        self.hub.join(self)
        try:
            await self.hub.ready.wait()
            while await self._next():
                pass
        finally:
            self.hub.leave(self)

    async def _next(self) -> bool:
        """One step; False: the right is gone."""
        try:
            if self._queue:
                return await self._shared()
            if self._joined:
                self._wake.clear()
                await self._wake.wait()
            elif self.position < self.hub.position:
                return await self._catch_up()
            elif self.position > self.hub.position:
                # It has seen more than the store has: a crash of the database took it back.
                await self.hub.moved()
            else:
                self._joined = True
                if self.hub.closed and not self._told_end:
                    return await self._deliver(closing(self.hub.job_id, self.position))
        except DatabaseError as error:
            # Nothing is sent without a fresh right, so waiting for the database is safe.
            logger.warning("viewer of the log of job %s waits: %s", self.hub.job_id, error)
            await asyncio.sleep(RETRY_S)
        return True

    async def _shared(self) -> bool:
        if not await self._allowed():
            return False
        frame = self._queue.popleft()
        await self._put(frame)
        return True

    async def _catch_up(self) -> bool:
        found = await read_past(self.hub.job_id, self.position, self.hub.position)
        if not found.frames:
            # What it has not seen has expired.
            self.position = max(self.position, min(self.hub.position, found.log_seq))
        for frame in found.frames:
            if not await self._deliver(frame):
                return False
        return True

    async def _deliver(self, frame: Frame) -> bool:
        if not await self._allowed():
            return False
        await self._put(frame)
        return True

    async def _put(self, frame: Frame) -> None:
        self.position = max(self.position, frame.last)
        self._told_end = self._told_end or frame.closed
        await self._send(frame.text)
