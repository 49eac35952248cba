"""One file to a node and one file from it, by digest; a large one comes in pieces."""

import re
from collections.abc import Awaitable, Callable

from console.transfer.call import Call, Gone, Refused
from console.transfer.files import receive_blob, send_blob
from models_app.core.blobs import blob_renew, blob_size
from models_app.core.storage.partials import Partial, WrongOffset
from models_app.core.storage.room import require_room


async def tell_blob(call: Call, sha256: str) -> None:
    """HEAD: whether it is there. Then it stays for a while, for the node will name it.

    If not, `Upload-Offset` says how much of it has come already.
    """
    if await call.run(blob_renew, sha256):
        size = await call.run(blob_size, sha256)
        await call.start(200, (b"content-length", b"%d" % size))
        await call.write(b"", last=True)
        return
    offset = await call.run(lambda: _partial(sha256).offset)
    await call.answer(404, headers=[(b"upload-offset", b"%d" % offset)])


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


async def take_piece(call: Call, sha256: str) -> None:
    """PATCH: the bytes from `Upload-Offset` on of a file of `Upload-Length`; what came stays.

    201 when the file is complete, 204 before, 409 with the right offset when this was a wrong one.
    """
    offset, size = _whole(call, b"upload-offset"), _whole(call, b"upload-length")
    if await call.run(blob_renew, sha256):
        await call.answer(200)
        return
    require_room(size - offset)
    partial = _partial(sha256)
    try:
        at = await _append(call, partial, offset, size)
    except WrongOffset as error:
        told = [(b"upload-offset", b"%d" % error.extra["offset"])]
        await call.answer(409, error.message.encode(), headers=told)
        return
    except Gone:
        return
    if at < size:
        await call.answer(204, headers=[(b"upload-offset", b"%d" % at)])
        return
    await call.run(partial.finish, sha256)
    await call.answer(201)


async def _append(call: Call, partial: Partial, offset: int, size: int) -> int:
    """Where the file ends now."""
    context = partial.appending(offset, size)
    piece = await call.run(context.__enter__)
    try:
        async for data in call.body():
            await call.run(piece.write, data)
    finally:
        await call.run(context.__exit__, None, None, None)
    return int(piece.offset)


def _partial(sha256: str) -> Partial:
    return Partial(f"node-{sha256}")


def _whole(call: Call, name: bytes) -> int:
    text = call.header(name)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refused(400, "malformed", f"Say {name.decode()} in bytes.")
    return int(text)


METHODS: dict[str, Callable[[Call, str], Awaitable[None]]] = {
    "GET": send_blob,
    "HEAD": tell_blob,
    "PUT": take_blob,
    "PATCH": take_piece,
}
