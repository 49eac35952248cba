"""One file to a node and one file from it, by digest."""

import shutil
from collections.abc import Awaitable, Callable

from django.conf import settings

from console.transfer.call import Call, Gone, Refused
from console.transfer.files import send_blob
from models_app.core.blobs import BlobWriter, blob_path, blob_renew

#: What an upload leaves free, for the database lies on this disk, too.
RESERVE = 512 << 20


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
