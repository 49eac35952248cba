"""A line between gateway and model server that breaks in the middle of a stream, as when the
server's process is killed.
"""

import asyncio
import contextlib
import threading


class Cutter:
    """Listens on a free port and passes everything on to `port`.

    `cut` says after how many events of each of the next streams the line breaks, for one stream
    each; when it is empty the line holds. It may be shared by several cutters.
    """

    def __init__(self, port: int, cut: list[int]) -> None:
        self.upstream = port
        self.cut = cut
        self.broken = 0
        self.port = 0
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> "Cutter":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def streaming(self) -> bool:
        """Whether an answer is on its way."""
        return bool(self._streams)

    def break_now(self) -> None:
        """Break every stream where it is."""
        for writer in list(self._streams):
            self._loop.call_soon_threadsafe(writer.transport.abort)

    def stop_listening(self) -> None:
        """New lines are refused."""
        self._loop.call_soon_threadsafe(self._server.close)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connection(self, reader, writer) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
            there = asyncio.ensure_future(self._pass(reader, far_writer))
            try:
                await self._back(far_reader, writer)
            finally:
                there.cancel()
                await asyncio.gather(there, return_exceptions=True)
                far_writer.transport.abort()
                self._streams.discard(writer)
        writer.transport.abort()

    async def _pass(self, reader, writer) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)

    async def _back(self, reader, writer) -> None:
        """From the server, event by event where the line is to break."""
        left: int | None = None
        while data := await reader.read(65536):
            if b"text/event-stream" in data:
                self._streams.add(writer)
                left = self.cut.pop(0) if left is None and self.cut else left
            if data.endswith(b"0\r\n\r\n"):
                self._streams.discard(writer)
            if left is None:
                writer.write(data)
                await writer.drain()
                continue
            events = data.split(b"\n\n")
            if len(events) - 1 > left:
                kept = b"\n\n".join(events[: left + 1])[: -max(1, len(events[left]) // 2)]
                writer.write(kept)  # the last event only in part
                await writer.drain()
                self.broken += 1
                return
            left -= len(events) - 1
            writer.write(data)
            await writer.drain()
