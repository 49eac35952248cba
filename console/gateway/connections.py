"""Connections to model servers."""

import asyncio
import functools

import aiohttp
from aiohttp.client_proto import ResponseHandler

#: Less than the model server keeps an idle connection, so that it is we who close.
KEEP_ALIVE_S = 30.0


class _Connection(ResponseHandler):
    """aiohttp's, which has something to do before the next read only where reading was paused:
    its own asks parser and transport after every event of a stream, a tenth of what one costs.
    """

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading, if it was paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


class Connections(aiohttp.TCPConnector):
    """A pool without bounds: how many requests a replica gets is decided elsewhere."""

    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE_S)
        self._factory = functools.partial(  # type: ignore[assignment]
            _Connection, loop=asyncio.get_running_loop()
        )
