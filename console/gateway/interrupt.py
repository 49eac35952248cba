"""Stops the work on a request when its client hangs up or stops reading, or its time is over."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from console.gateway.http import Receive

Reason = Literal["client_closed", "client_slow", "deadline"]
#: How often it is looked whether the client still reads.
LOOK_S = 5.0


class Interrupted(Exception):
    """The block was cut short; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Interrupt:
    """`with Interrupt(receive, seconds, stalled):` cancels what the block awaits and raises
    Interrupted.

    Only after the body was read: until then `receive` brings parts of it. `stalled` says whether
    the client has taken nothing for too long.
    """

    def __init__(self, receive: Receive, seconds: float, stalled: Callable[[], bool]) -> None:
        self._receive = receive
        self._seconds = seconds
        self._stalled = stalled
        self._reason: Reason | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = loop.call_later(self._seconds, self._cancel, "deadline")
        self._look = loop.call_later(LOOK_S, self._look_at_reader)
        self._watcher = loop.create_task(self._until_gone())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._look.cancel()
        self._watcher.cancel()
        # As asyncio.timeout does: take our own cancellation back, never somebody else's.
        if self._reason and self._task.uncancel() <= 0 and kind is asyncio.CancelledError:
            raise Interrupted(self._reason) from None

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancel("client_closed")

    def _look_at_reader(self) -> None:
        if self._stalled():
            self._cancel("client_slow")
        else:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_at_reader)

    def _cancel(self, reason: Reason) -> None:
        if self._reason is None:
            self._reason = reason
            self._task.cancel()
