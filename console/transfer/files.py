"""Sends a stored file, whole or the part that is asked for, and takes one."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import BinaryIO

from console.transfer.call import Call, Refused
from models_app.core import ranges
from models_app.core.blobs import BlobMissing, BlobWriter
from models_app.core.reading import blob_reader
from models_app.core.storage.room import require_room

#: Bytes of one write: larger ones cost less CPU, smaller ones let pages in between sooner.
PIECE = 128 << 10
Headers = Iterable[tuple[bytes, bytes]]


async def send_blob(call: Call, sha256: str, headers: Headers = ()) -> None:
    """GET or HEAD of the file; 206 with what `Range` names, 416 where there is nothing of it."""
    file, size = await call.run(_open, sha256)
    with contextlib.closing(file):
        asked = asked_range(call.header(b"range"), size)
        begin, end = asked or (0, size)
        told = [
            (b"content-length", b"%d" % (end - begin)),
            (b"etag", b'"%s"' % sha256.encode()),
            (b"accept-ranges", b"bytes"),
        ]
        if asked:
            told.append((b"content-range", f"bytes {begin}-{end - 1}/{size}".encode()))
        await call.start(206 if asked else 200, *told, *headers)
        if call.method == "HEAD" or begin == end:
            await call.write(b"", last=True)
            return
        await call.run(file.seek, begin)
        await _stream(call, file, end - begin)


async def receive_blob(call: Call, sha256: str) -> int:
    """Store the body if its bytes have this digest; its size. Raises Gone, StoreFull, Refused."""
    length = body_length(call)
    writer: BlobWriter = await call.run(BlobWriter)
    try:
        async for piece in call.body():
            if writer.size + len(piece) > length:
                raise Refused(400, "malformed", "More bytes came than Content-Length said.")
            await call.run(writer.write, piece)
        if writer.sha256 != sha256 or writer.size != length:
            raise Refused(422, "digest_mismatch", "The bytes do not have the digest of this name.")
        await call.run(writer.publish)
    finally:
        await call.run(writer.discard)
    return length


def body_length(call: Call) -> int:
    """Content-Length of an upload for which there is room. Raises Refused, or StoreFull."""
    length = call.header(b"content-length")
    if not length.isdigit():
        raise Refused(411, "length_required", "Say the length of the file in Content-Length.")
    require_room(int(length))
    return int(length)


def asked_range(header: str, size: int) -> tuple[int, int] | None:
    """As `core.ranges.asked_range`; Refused(416) beyond the end."""
    try:
        return ranges.asked_range(header, size)
    except ranges.NoSuchRange:
        raise Refused(416, "no_such_range", f"The file has {size} bytes.") from None


def _open(sha256: str) -> tuple[BinaryIO, int]:
    try:
        file = blob_reader(sha256)
    except BlobMissing as error:
        raise Refused(404, "not_found", error.message) from None
    return file, file.seek(0, 2)


async def _stream(call: Call, file: BinaryIO, left: int) -> None:
    """The next `left` bytes, as fast as the caller takes them and no longer than it listens."""
    gone = asyncio.ensure_future(call.gone())
    try:
        while left and not gone.done():
            piece = await call.run(file.read, min(PIECE, left))
            if not piece:
                return  # cut short: the caller notices, for it was told the length
            left -= len(piece)
            await call.write(piece, last=not left)
    finally:
        gone.cancel()
