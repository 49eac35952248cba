"""One file to a node and one file from it, by digest."""

from collections.abc import Awaitable, Callable

from console.transfer.call import Call, Gone
from console.transfer.files import receive_blob, send_blob
from models_app.core.blobs import blob_path, blob_renew


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
    if await call.run(blob_renew, sha256):
        await call.answer(200)
        return
    try:
        await receive_blob(call, sha256)
    except Gone:
        return
    await call.answer(201)


METHODS: dict[str, Callable[[Call, str], Awaitable[None]]] = {
    "GET": send_blob,
    "HEAD": tell_blob,
    "PUT": take_blob,
}
