"""What a store has to do. Times are seconds since 1970 by the clock of the store itself."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file: how large it is, and when somebody last relied on it."""

    sha256: str
    size: int
    renewed_at: float


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a writer left behind that was killed: a temporary file, an unfinished upload."""

    name: str
    size: int
    touched_at: float
    #: What the store needs to remove it.
    handle: Any


@dataclass(slots=True)
class Part:
    """A file from byte `begin` on, which may be 0 although more was asked for; `left` bytes."""

    begin: int
    left: int
    chunks: Iterator[bytes]


class Origin(Protocol):
    """The store behind a cache."""

    def read(
        self, sha256: str, begin: int = 0, end: int | None = None
    ) -> AbstractContextManager[Part]:
        """The file from a byte on. Raises BlobMissing, StoreUnavailable, or OSError: try again."""

    def push(self, path: Path, sha256: str, size: int) -> None:
        """Keep the file that lies at `path`, unless it is there; it is durable when this returns.

        Raises StoreUnavailable.
        """

    def renew(self, sha256: str) -> int | None:
        """Size of the file if it is there; then it counts as new, and is not cleared away."""

    def size(self, sha256: str) -> int | None:
        """Size of the file if it is there."""


class Home(Protocol):
    """A store that can be listed, cleared and checked."""

    @property
    def kind(self) -> str:
        """`disk` or `s3`."""

    @property
    def place(self) -> str:
        """What people are told: a folder or a bucket."""

    def now(self) -> float:
        """The time of the store's own clock."""

    def each(self) -> Iterator[Stored]:
        """Every stored file, in no order; bounded memory."""

    def read(
        self, sha256: str, begin: int = 0, end: int | None = None
    ) -> AbstractContextManager[Part]:
        """The file from a byte on, from the store itself; raises BlobMissing."""

    def remove(self, sha256: str, before: float) -> int | None:
        """Remove the file unless it is newer than `before`; its size, None: it stays.

        Never at the same time as somebody finds it to be there: see `renew`.
        """

    def leftovers(self, before: float) -> Iterator[Leftover]:
        """What killed writers left and nobody has touched since `before`."""

    def clear(self, leftover: Leftover) -> None:
        """Remove it."""

    def set_aside(self, sha256: str) -> None:
        """Take a damaged file out of the way, so that storing it again mends it."""

    def aside(self) -> Iterator[Stored]:
        """Damaged files that were set aside."""

    def free(self) -> tuple[int, int] | None:
        """Bytes that are free, and all there are; None: not limited."""
