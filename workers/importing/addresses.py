"""Connections of an import: to hubs that the operator allows, and to nowhere inside by a detour.

A hub may send the reader on to where its files lie. That address gets no token, and unless it is on
the operator's list it must be public: its name is looked up once, and the connection goes to the
very address that was checked.
"""

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from workers.importing.errors import ImportRefused, SourceAway

TIMEOUT_S = 30
MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
#: Ranges that `is_global` of this Python takes for public, and that lead inside or nowhere.
_INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "ff00::/8",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port."""

    scheme: str
    host: str
    port: int


def origin_of(parts: SplitResult) -> Origin:
    """Raises ImportRefused for what is no plain web address."""
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    usual = parts.scheme in ("http", "https") and parts.hostname and port
    if not usual or parts.username or parts.password:
        raise ImportRefused(
            "url", "Use an address like https://hub.example.com, without a password."
        )
    return Origin(parts.scheme, str(parts.hostname).lower().rstrip("."), port)


def is_public(address: str) -> bool:
    """Whether an address lies outside of any private, local or special network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is not None:
        found = mapped
    inside = any(found.version == net.version and found in net for net in _INSIDE)
    return found.is_global and not inside


class Web:
    """Asks one hub; follows its redirects by the rules above."""

    def __init__(self, base: str, token: str, allowed: tuple[str, ...]) -> None:
        self.base, self._token = base.rstrip("/"), token
        self._home = origin_of(urlsplit(base))
        self._allowed = {origin_of(urlsplit(url)) for url in allowed}

    def get(self, url: str, headers: dict[str, str]) -> "Answer":
        """The answer behind all redirects. Close it. Raises SourceAway, ImportRefused."""
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._ask(url, headers)
            if answer.status not in REDIRECTS:
                return answer
            place = answer.header("Location")
            answer.close()
            if not place:
                raise SourceAway("It redirects to nowhere.")
            url = urljoin(url, place)
        raise ImportRefused("url", f"It redirects more than {MOST_REDIRECTS} times.")

    def _ask(self, url: str, headers: dict[str, str]) -> "Answer":
        parts = urlsplit(url)
        origin = origin_of(parts)
        given = {**headers, "User-Agent": "slipway", "Accept-Encoding": "identity"}
        if origin == self._home and self._token:
            given["Authorization"] = f"Bearer {self._token}"
        if self._home.scheme == "https" and origin.scheme != "https":
            raise ImportRefused("url", "It redirects from https to http, which is not followed.")
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection = self._connection(origin)
        try:
            connection.request("GET", target, headers=given)
            return Answer(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SourceAway(f"{origin.host} does not answer: {error}.") from error

    def _connection(self, origin: Origin) -> http.client.HTTPConnection:
        address = self._address(origin)
        connection: http.client.HTTPConnection
        if origin.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                origin.host, origin.port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(origin.host, origin.port, timeout=TIMEOUT_S)

        def to_the_checked_one(place: Any, *rest: Any, **more: Any) -> socket.socket:
            return socket.create_connection((address, place[1]), *rest, **more)

        connection._create_connection = to_the_checked_one  # type: ignore[attr-defined]
        return connection

    def _address(self, origin: Origin) -> str:
        """Where the name leads now; for a host that is not on the list it must be public."""
        try:
            found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SourceAway(f"The name {origin.host} cannot be looked up: {error}.") from error
        addresses = [str(place[4][0]) for place in found]
        if origin in self._allowed:
            return addresses[0]
        if not all(is_public(address) for address in addresses):
            said = f"It redirects to {origin.host}, which is not on the public net and not allowed."
            raise ImportRefused("url", said)
        return addresses[0]


class Answer:
    """A response with its connection."""

    def __init__(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        self._connection, self._response = connection, response
        self.status = response.status

    def header(self, name: str) -> str:
        return self._response.getheader(name) or ""

    def read(self, size: int) -> bytes:
        """What has come, up to `size` bytes; none at the end. Nothing waits here to be lost."""
        try:
            return self._response.read1(size)
        except (OSError, http.client.HTTPException) as error:
            raise SourceAway(f"The connection broke off: {error}.") from error

    def close(self) -> None:
        self._connection.close()
