"""A request of a client of the Hub, and what can be said to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from console.hf.repos import Entry
from console.hf.routes import Route

Query = dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request of a known caller. `origin` is where it reached us: scheme, host and port.

    `body` is small; what may be large lies in `file`.
    """

    route: Route
    origin: str
    agent: str
    query: Query
    method: str = "GET"
    body: bytes = b""
    file: IO[bytes] | None = None
    user: Any = None

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1", "")

    def text(self, name: str) -> str:
        return self.query.get(name, [""])[-1]

    def number(self, name: str, default: int, most: int) -> int:
        text = self.text(name)
        return min(int(text), most) if text.isdecimal() and len(text) < 10 else default


@dataclass(frozen=True, kw_only=True)
class Answer:
    """JSON, and where the next page is."""

    data: Any
    link: str = ""
    status: int = 200
    kind: str = "application/json"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to send."""

    entry: Entry
    commit: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text that is made for the answer and lies in no file."""

    data: bytes
    commit: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The answer to a push, as soon as its version is ready; `standing` tells state, error, digest.

    `told(digest)` is what is said of the version that has this digest.
    """

    standing: Callable[[], tuple[str, str, str]]
    told: Callable[[str], Answer]
    #: Said where it takes longer.
    digest: str
