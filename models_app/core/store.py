"""The console's store, asked over HTTP by a node that does not see the console's disk.

Used only where `STORE_URL` is set. Every file is checked by its digest on both sides; a transfer
that breaks off goes on where it stopped, in both directions.
"""

import base64
import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core.storage import fetching
from models_app.core.storage.contract import CHUNK, Part
from models_app.core.storage.errors import BlobMissing, StoreUnavailable

__all__ = ["CHUNK", "BlobMissing", "StoreUnavailable"]
TIMEOUT_S = 60
#: Files above this size go up in pieces of it: a broken connection costs the last one.
PIECE = 32 << 20


def is_remote() -> bool:
    """Whether files come from another machine and go there."""
    return bool(settings.STORE_URL)


class Console:
    """The origin of a joined node."""

    @contextlib.contextmanager
    def read(self, sha256: str, begin: int = 0, end: int | None = None) -> Iterator[Part]:
        wanted = begin or end is not None
        last = "" if end is None else str(end - 1)
        headers = {"Range": f"bytes={begin}-{last}"} if wanted else {}
        try:
            with _asked("GET", _blob(sha256), headers=headers) as answer:
                yield _part(answer, sha256, begin)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    def push(self, path: Path, sha256: str, size: int) -> None:
        """Give the console the blob that lies at `path`, unless it has it; or StoreUnavailable."""
        fruitless, reached = 0, -1
        while True:
            try:
                at = _offset(sha256)
                if at is None:
                    return
                # What came further than ever before was no fruitless try.
                fruitless, reached = (0, at) if at > reached >= 0 else (fruitless, max(reached, at))
                if _send(path, sha256, size, at):
                    return
                fruitless = 0
                continue
            except (OSError, http.client.HTTPException) as error:
                if not path.exists():
                    raise
                fruitless += 1
                if fruitless >= fetching.TRIES:
                    said = f"{settings.STORE_URL} does not take files: {error}."
                    raise StoreUnavailable(said) from error
            time.sleep(fetching.PAUSE_S * 2**fruitless)

    def renew(self, sha256: str) -> int | None:
        return self.size(sha256)

    def size(self, sha256: str) -> int | None:
        with _asked("HEAD", _blob(sha256)) as answer:
            if answer.status not in (200, 404):
                raise _unavailable(answer)
            return int(answer.headers["Content-Length"]) if answer.status == 200 else None


CONSOLE = Console()


def push(path: Path, sha256: str, size: int) -> None:
    """Give the console the blob that lies at `path`, unless it has it; or StoreUnavailable."""
    CONSOLE.push(path, sha256, size)


def ask(method: str, path: str) -> bool:
    """Whether the console has done it (204) or there is no such thing (404); StoreUnavailable."""
    try:
        with _asked(method, path) as answer:
            if answer.status not in (204, 404):
                raise _unavailable(answer)
            return answer.status == 204
    except (OSError, http.client.HTTPException) as error:
        raise StoreUnavailable(f"{settings.STORE_URL} does not answer: {error}.") from error


def _part(answer: http.client.HTTPResponse, sha256: str, begin: int) -> Part:
    if answer.status == 416:
        return Part(begin, 0, iter(()))
    if answer.status == 404:
        raise fetching.missing(sha256)
    if answer.status not in (200, 206):
        raise _unavailable(answer)
    left = int(answer.headers["Content-Length"])
    return Part(begin if answer.status == 206 else 0, left, _chunks(answer, left))


def _chunks(answer: http.client.HTTPResponse, left: int) -> Iterator[bytes]:
    while chunk := answer.read(min(CHUNK, left)):
        yield chunk
        left -= len(chunk)


def _offset(sha256: str) -> int | None:
    """None: the console has the file; else how many of its bytes."""
    with _asked("HEAD", _blob(sha256)) as answer:
        if answer.status == 200:
            return None
        if answer.status != 404:
            raise _unavailable(answer)
        return int(answer.headers.get("Upload-Offset") or 0)


def _send(path: Path, sha256: str, size: int, at: int) -> bool:
    """Send the file, or the next piece of a large one; whether it is all there now."""
    whole = size <= PIECE
    length = size if whole else min(PIECE, size - at)
    headers = {"Content-Length": str(length)}
    if not whole:
        headers |= {"Upload-Offset": str(at), "Upload-Length": str(size)}
    with path.open("rb") as file:
        file.seek(0 if whole else at)
        body = file if whole else _limited(file, length)
        options = {"body": body, "headers": headers}
        with _asked("PUT" if whole else "PATCH", _blob(sha256), **options) as answer:
            if answer.status == 422:
                said = _("A file changed or was damaged while it was sent to the console.")
                raise BlobMissing(said)
            if answer.status not in (200, 201, 204, 409):
                raise _unavailable(answer)
            return answer.status in (200, 201)


def _limited(file: Any, left: int) -> Iterator[bytes]:
    while left and (chunk := file.read(min(CHUNK, left))):
        yield chunk
        left -= len(chunk)


@contextlib.contextmanager
def _asked(method: str, path: str, **options: Any) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(settings.STORE_URL)
    secure = parts.scheme == "https"
    make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S, blocksize=CHUNK)
    known = f"{settings.NODE_NAME}:{settings.NODE_SECRET}".encode()
    headers = {
        "Authorization": f"Basic {base64.b64encode(known).decode()}",
        **options.pop("headers", {}),
    }
    try:
        connection.request(method, f"{parts.path}/internal/{path}", headers=headers, **options)
        yield connection.getresponse()
    finally:
        connection.close()


def _blob(sha256: str) -> str:
    return f"blobs/{sha256}"


def _unavailable(answer: http.client.HTTPResponse) -> StoreUnavailable:
    said = answer.read(2000).decode(errors="replace").strip()
    return StoreUnavailable(f"{settings.STORE_URL} answers {answer.status}: {said}")
