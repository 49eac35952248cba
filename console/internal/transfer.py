"""One file to a node and one file from it, by digest."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import Awaitable, Callable
from typing import BinaryIO

from django.conf import settings

from console.internal.call import CHUNK, Call, Gone, Refused
from models_app.core.blobs import BlobMissing, BlobWriter, blob_open, blob_path, blob_renew

#: What an upload leaves free, for the database lies on this disk, too.
RESERVE = 512 << 20
_RANGE = re.compile(r"bytes=([0-9]{1,18})-")


async def send_blob(call: Call, sha256: str) -> None:
    """GET: the file, or what follows after `Range: bytes=N-`."""
    file, size = await call.run(_open, sha256)
    with contextlib.closing(file):
        asked = _RANGE.fullmatch(call.header(b"range"))
        begin = int(asked[1]) if asked else 0
        if asked and begin >= size:
            raise Refused(416, "no_such_range", f"The file has {size} bytes.")
        headers = [
            (b"content-length", b"%d" % (size - begin)),
            (b"etag", b'"%s"' % sha256.encode()),
        ]
        if asked:
            place = f"bytes {begin}-{size - 1}/{size}"
            headers.append((b"content-range", place.encode()))
        await call.start(206 if asked else 200, *headers)
        await call.run(file.seek, begin)
        await _stream(call, file, size - begin)


async def tell_blob(call: Call, sha256: str) -> None:
    """HEAD: whether it is there. Then it stays for a while, for the node will name it."""
    if not await call.run(blob_renew, sha256):
        await call.answer(404)
        return
    size = await call.run(lambda: blob_path(sha256).stat().st_size)
    await call.start(200, (b"content-length", b"%d" % size))
    await call.write(b"", last=True)


async def take_blob(call: Call, sha256: str) -> None:
    """PUT: stored only if its bytes have this digest; a file that is there already is no error."""
    length = call.header(b"content-length")
    if not length.isdigit():
        raise Refused(411, "length_required", "Say the length of the file in Content-Length.")
    if await call.run(blob_renew, sha256):
        await call.answer(200)
        return
    if shutil.disk_usage(settings.DATA_DIR).free < int(length) + RESERVE:
        raise Refused(507, "disk_full", "The console's disk is full.")
    writer: BlobWriter = await call.run(BlobWriter)
    try:
        async for piece in call.body():
            if writer.size + len(piece) > int(length):
                raise Refused(400, "malformed", "More bytes came than Content-Length said.")
            await call.run(writer.write, piece)
        if writer.sha256 != sha256 or writer.size != int(length):
            raise Refused(422, "digest_mismatch", "The bytes do not have the digest of this name.")
        await call.run(writer.publish)
    except Gone:
        return
    finally:
        await call.run(writer.discard)
    await call.answer(201)


METHODS: dict[str, Callable[[Call, str], Awaitable[None]]] = {
    "GET": send_blob,
    "HEAD": tell_blob,
    "PUT": take_blob,
}


def _open(sha256: str) -> tuple[BinaryIO, int]:
    try:
        file = blob_open(sha256)
    except BlobMissing as error:
        raise Refused(404, "not_found", error.message) from None
    return file, file.seek(0, 2)


async def _stream(call: Call, file: BinaryIO, left: int) -> None:
    """The next `left` bytes, as fast as the node takes them and no longer than it listens."""
    if not left:
        await call.write(b"", last=True)
        return
    gone = asyncio.ensure_future(call.gone())
    try:
        while left and not gone.done():
            piece = await call.run(file.read, min(CHUNK, left))
            if not piece:
                return  # cut short: the node notices, for it was told the length
            left -= len(piece)
            await call.write(piece, last=not left)
    finally:
        gone.cancel()
