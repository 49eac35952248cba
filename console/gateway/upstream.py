"""Calls to model servers over one shared connection pool."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp

from console.gateway.connections import Connections
from console.gateway.replicas import Replica

CONNECT_S = 2.0
#: What a model server says when it cannot take a request that another one could.
ELSEWHERE = frozenset({401, 429, 503})
#: What one says that does not have an adapter which another one may have.
ADAPTER_MISSING = b'"code":"adapter_not_loaded"'
_PASSED_ON = ("retry-after", "x-should-retry")


class ReplicaFailed(Exception):
    """No byte of an answer came: another replica may be asked."""


class Unreachable(ReplicaFailed):
    """It does not listen, broke the connection, or is not the one we took it for."""


class Refused(ReplicaFailed):
    """It is alive and says that it cannot take this one now."""

    def __init__(self, status: int, retry_after: int) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


class AdapterMissing(ReplicaFailed):
    """It is well and has not the adapter that was asked for: it loads it, or gave it up."""


class Lost(Exception):
    """The answer broke off after its first event."""


class Upstream:
    """The client side of all replicas: a pool of connections for each, so that those of a replica
    that hangs can be cut without touching the others.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    def _session(self, replica: Replica) -> aiohttp.ClientSession:
        session = self._sessions.get(replica.address)
        if session is None:
            session = self._sessions[replica.address] = aiohttp.ClientSession(
                connector=Connections(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                trust_env=False,
                read_bufsize=1 << 18,
            )
        return session

    async def close(self) -> None:
        """Close every connection."""
        for address in list(self._sessions):
            await self._sessions.pop(address).close()

    async def cut(self, replica: Replica) -> None:
        """Break every connection to a replica: whoever waits for it goes elsewhere."""
        session = self._sessions.pop(replica.address, None)
        if session is not None:
            await session.close()

    async def forget(self, replicas: Iterable[Replica]) -> None:
        """Close the pools of replicas that are none of these, once nothing runs on them."""
        there = {replica.address for replica in replicas}
        for address in self._sessions.keys() - there:
            connector = self._sessions[address].connector
            if connector is None or not getattr(connector, "_acquired", None):
                await self._sessions.pop(address).close()

    async def health(self, replica: Replica, seconds: float) -> dict[str, Any]:
        """What the replica says of itself. Raises Unreachable."""
        try:
            async with self._session(replica).get(
                replica.address + "/health",
                headers=replica.headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as response:
                raw = await response.read()
                said = json.loads(raw) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unreachable(type(error).__name__) from error
        if not isinstance(said, dict):
            raise Unreachable(f"health {response.status}")
        return said

    @contextlib.asynccontextmanager
    async def ask(
        self, replica: Replica, path: str, body: bytes, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The replica's response, headers read. Raises Unreachable, Refused or AdapterMissing."""
        try:
            response = await self._session(replica).post(
                replica.address + path,
                data=body,
                headers={**replica.headers, **headers},
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(type(error).__name__) from error
        try:
            if response.status in ELSEWHERE:
                raise _refusal(response)
            if response.status == 404 and ADAPTER_MISSING in await whole(response):
                raise AdapterMissing("the adapter is not loaded")
            yield response
        except BaseException:
            # Cuts the connection: the model server stops computing at once.
            response.close()
            raise
        response.release()


def _refusal(response: aiohttp.ClientResponse) -> ReplicaFailed:
    if response.status == 401:
        return Unreachable("another server listens there")
    after = response.headers.get("retry-after", "")
    return Refused(response.status, min(int(after), 60) if after.isdecimal() else 1)


async def whole(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, or Unreachable: nothing of it was passed on yet."""
    try:
        return await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(type(error).__name__) from error


def passed_on(response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """Headers of the model server that the client gets to see."""
    headers = response.headers
    return [(n.encode(), headers[n].encode("latin-1")) for n in _PASSED_ON if n in headers]
