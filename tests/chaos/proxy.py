"""A TCP proxy on the loopback address that can go silent, or cut and refuse everything."""

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Literal

Mode = Literal["pass", "hole", "cut"]


class Proxy:
    """Stands between a node and a server.

    `hole` holds every byte back, as a network that loses all packets does: TCP delivers them when
    it heals. `cut` resets what is open and refuses what is new.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._mode: Mode = "pass"
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._started = threading.Event()
        self._thread.start()
        self._started.wait(5)

    def set(self, mode: Mode) -> None:
        """Change what happens to connections from now on."""
        asyncio.run_coroutine_threadsafe(self._set(mode), self._loop).result(5)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port)
        )
        self.port = int(server.sockets[0].getsockname()[1])
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "pass":
            self._flowing.set()
        else:
            self._flowing.clear()
        if mode == "cut":
            for pair in list(self._pairs):
                for writer in pair:
                    reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "hole":
            await self._flowing.wait()
        if self._mode == "cut":
            reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, pair), self._pump(far_reader, writer, pair)
            )
        finally:
            self._pairs.discard(pair)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            for each in pair:
                each.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN, as a firewall or a vanished machine does."""
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
