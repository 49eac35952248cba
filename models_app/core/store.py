"""The console's store, asked over HTTP by a node that does not see the console's disk.

Used only where `STORE_URL` is set. Every file is checked by its digest on both sides; a transfer
that breaks off goes on where it stopped (fetch) or is repeated as a whole (push).
"""

import base64
import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core.errors import SlipwayError

CHUNK = 1 << 20
TIMEOUT_S = 60
#: Tries in a row that bring nothing before the caller hears of it.
TRIES = 4
PAUSE_S = 0.3


class BlobMissing(SlipwayError):
    """A stored file is missing or damaged."""

    status = 500
    code = "blob_missing"


class StoreUnavailable(SlipwayError):
    """The console's store cannot be reached now; trying again later may help."""

    status = 503
    code = "store_unavailable"


def is_remote() -> bool:
    """Whether files come from another machine and go there."""
    return bool(settings.STORE_URL)


def fetch(sha256: str, final: Path) -> None:
    """Bring a blob to `final`, once, whoever else asks for it at the same time.

    Raises BlobMissing when the console has not got it, StoreUnavailable when it cannot say.
    """
    partial = final.parent.parent.parent / f".get-{sha256}"
    partial.parent.mkdir(parents=True, exist_ok=True)
    with _alone(partial) as file:
        if final.exists():
            partial.unlink(missing_ok=True)
            return
        try:
            _complete(sha256, file)
        except BlobMissing:
            partial.unlink(missing_ok=True)
            raise
        os.fsync(file.fileno())
        partial.chmod(0o444)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(final)


def push(path: Path, sha256: str, size: int) -> None:
    """Give the console the blob that lies at `path`, unless it has it; or StoreUnavailable."""
    for number in range(TRIES):
        try:
            if _has(sha256):
                return
            with path.open("rb") as body:
                headers = {"Content-Length": str(size)}
                with _asked("PUT", _blob(sha256), body=body, headers=headers) as answer:
                    if answer.status in (200, 201):
                        return
                    _refuse_upload(answer)
        except (OSError, http.client.HTTPException) as error:
            if not path.exists():
                raise
            last: Exception = error
        time.sleep(PAUSE_S * 2**number)
    raise StoreUnavailable(f"{settings.STORE_URL} does not take files: {last}.")


def ask(method: str, path: str) -> bool:
    """Whether the console has done it (204) or there is no such thing (404); StoreUnavailable."""
    try:
        with _asked(method, path) as answer:
            if answer.status not in (204, 404):
                raise _unavailable(answer)
            return answer.status == 204
    except (OSError, http.client.HTTPException) as error:
        raise StoreUnavailable(f"{settings.STORE_URL} does not answer: {error}.") from error


def _has(sha256: str) -> bool:
    with _asked("HEAD", _blob(sha256)) as answer:
        if answer.status not in (200, 404):
            raise _unavailable(answer)
        return answer.status == 200


def _refuse_upload(answer: http.client.HTTPResponse) -> None:
    if answer.status == 422:
        raise BlobMissing(_("A file changed or was damaged while it was sent to the console."))
    raise _unavailable(answer)


def _complete(sha256: str, file: IO[bytes]) -> None:
    """Fill `file` until its digest is right."""
    fruitless = damaged = 0
    while True:
        before = os.fstat(file.fileno()).st_size
        try:
            whole = _download(sha256, file)
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise StoreUnavailable("The disk of this node is full.") from error
            grown = os.fstat(file.fileno()).st_size > before
            fruitless = 0 if grown else fruitless + 1
            if fruitless >= TRIES:
                raise StoreUnavailable(f"{settings.STORE_URL} sends nothing: {error}.") from error
            time.sleep(PAUSE_S * 2**fruitless)
            continue
        if whole:
            return
        damaged += 1
        file.truncate(0)
        if damaged > 1:
            said = _("The stored file %(digest)s is damaged.") % {"digest": sha256[:12]}
            raise BlobMissing(said, sha256=sha256)


def _download(sha256: str, file: IO[bytes]) -> bool:
    """Append what is missing; whether the whole has the right digest."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    have = file.tell()
    headers = {"Range": f"bytes={have}-"} if have else {}
    with _asked("GET", _blob(sha256), headers=headers) as answer:
        if answer.status == 416:
            return digest.hexdigest() == sha256
        if answer.status == 404:
            said = _("The stored file %(digest)s is missing.") % {"digest": sha256[:12]}
            raise BlobMissing(said, sha256=sha256)
        if answer.status not in (200, 206):
            raise _unavailable(answer)
        if answer.status == 200 and have:
            file.truncate(0)
            file.seek(0)
            digest = hashlib.sha256()
        left = int(answer.headers["Content-Length"])
        while chunk := answer.read(min(CHUNK, left)):
            file.write(chunk)
            digest.update(chunk)
            left -= len(chunk)
        file.flush()
        if left:
            raise ConnectionError(f"broke off {left} bytes before the end")
    return digest.hexdigest() == sha256


@contextlib.contextmanager
def _alone(partial: Path) -> Iterator[IO[bytes]]:
    """The partial file, held by one thread of one process at a time."""
    while True:
        with partial.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held it before may have finished: then this is not the file any more.
            try:
                ours = partial.stat().st_ino == os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                ours = False
            if ours:
                yield file
                return


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
