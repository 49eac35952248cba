"""ASGI of `/hf`: set `HF_ENDPOINT=https://console/hf` and an API token as `HF_TOKEN`.

Whoever has no token gets 401, whoever may not know of a repository 404, as from the
Hub; errors carry `X-Error-Code`, by which clients tell them apart.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import IO, Any
from urllib.parse import parse_qs, unquote

from django.conf import settings
from django.db import OperationalError, connections

from console.access.tokens import token_find
from console.hf import answers, pushing
from console.hf.asking import Answer, Asked, File, Text, Waiting
from console.hf.repos import Missing
from console.hf.routes import Route, route_of
from console.transfer.call import Call, Gone, Receive, Refused, Scope, Send
from console.transfer.files import body_length, receive_blob, send_blob
from models_app.core.errors import SlipwayError

logger = logging.getLogger(__name__)
PREFIX = "/hf/"
#: Bytes of a request's body, other than a commit or a file.
BODY = 4 << 20
#: What clients ask without a token, and what tells nothing about anybody.
OPEN = ("validate-yaml",)
#: How long a push waits for its version to be looked at, and how often it asks.
LOOK_S, LOOK_EVERY_S = 25.0, 0.25


class Unknown(SlipwayError):
    """No token, or none that counts."""

    status = 401
    code = "unauthenticated"


class Hub:
    """ASGI 3 for requests below `/hf/`."""

    def __init__(self) -> None:
        self._files = ThreadPoolExecutor(settings.HTTP_THREADS, thread_name_prefix="hf-files")
        #: Apart from the files, so that downloads do not hold up small answers.
        self._asking = ThreadPoolExecutor(4, thread_name_prefix="hf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send, self._files)
        try:
            route = route_of(call.method, _segments(scope))
            if route is None:
                raise Missing("NotFound", "The console does not speak this part of the Hub's API.")
            await self._answer(call, scope, route)
        except Refused as error:
            await _refuse(call, error.status, error.code, error.detail)
        except SlipwayError as error:
            await _refuse(call, error.status, error.code, error.message, error)
        except OperationalError:
            logger.warning("%s %s: the database is away", call.method, scope["path"])
            await _refuse(call, 503, "unavailable", "The database is away. Try again in a moment.")
        except Gone:
            pass
        except TimeoutError:
            logger.warning("%s %s: nothing was taken for too long", call.method, scope["path"])
        except Exception:
            logger.exception("%s %s", call.method, scope["path"])
            await _refuse(call, 500, "internal_error", "The console's log tells more.")

    async def _answer(self, call: Call, scope: Scope, route: Route) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        origin = f"{scope['scheme']}://{call.header(b'host')}"
        agent = call.header(b"user-agent")
        asked = Asked(
            route=route, method=call.method, origin=origin, agent=agent, query=query
        )  # fmt: skip
        if route.what == "upload":
            return await self._take_file(call, asked)
        bearer = call.header(b"authorization")
        known = route.what not in OPEN
        if call.method == "POST" and known:
            await self._ask(call, lambda: _user(bearer))  # before anything is taken
        with contextlib.ExitStack() as open_files:
            if route.what == "commit":
                asked = replace(asked, file=open_files.enter_context(await _spooled(call)))
            elif call.method == "POST":
                asked = replace(asked, body=await _body(call))
            answer = await self._ask(call, lambda: _find(bearer if known else None, asked))
        if isinstance(answer, File):
            return await _send_file(call, answer)
        if isinstance(answer, Text):
            return await _send_text(call, answer)
        if isinstance(answer, Waiting):
            answer = await self._looked_at(call, answer)
        link = [(b"link", answer.link.encode())] if answer.link else []
        data = json.dumps(answer.data, ensure_ascii=False).encode()
        await call.answer(answer.status, data, kind=answer.kind, headers=link)

    async def _ask(self, call: Call, action: Callable[[], Any]) -> Any:
        return await call.run_in(self._asking, _closing, action)

    async def _take_file(self, call: Call, asked: Asked) -> None:
        """PUT to an address that `batch` gave: whoever has it needs no token beside it."""
        claim = await self._ask(call, lambda: pushing.upload_claim(asked))
        if call.header(b"content-length") != str(claim["size"]):
            raise Refused(422, "size_mismatch", f"The file was said to have {claim['size']} bytes.")
        await receive_blob(call, claim["oid"])
        await self._ask(call, lambda: pushing.upload_done(claim))
        await call.answer(200, headers=[(b"etag", b'"%s"' % claim["oid"].encode())])

    async def _looked_at(self, call: Call, waiting: Waiting) -> Answer:
        """The answer, when the version is ready or a while has passed; Refused with the reason."""
        end = asyncio.get_running_loop().time() + LOOK_S
        while asyncio.get_running_loop().time() < end:
            state, error, digest = await self._ask(call, waiting.standing)
            if state == "failed":
                raise Refused(422, "refused", error or "The version was refused; see the console.")
            if state != "pending":
                return waiting.told(digest)
            await asyncio.sleep(LOOK_EVERY_S)
        return waiting.told(waiting.digest)


def _find(bearer: str | None, asked: Asked) -> Answer | File | Text | Waiting:
    user = _user(bearer) if bearer is not None else None
    return answers.answer(replace(asked, user=user))


def _user(bearer: str) -> Any:
    word, _space, text = bearer.partition(" ")
    token = token_find(text.strip()) if word.lower() == "bearer" else None
    if token is None:
        raise Unknown("Give an API token of this console, as HF_TOKEN or by `hf auth login`.")
    token.user.auth_token = token
    return token.user


async def _spooled(call: Call) -> IO[bytes]:
    """The body in a file without a name: it is gone with its last reader."""
    length = call.header(b"content-length")
    if length.isdigit():
        body_length(call)
    most = settings.UPLOAD_LIMIT_MIB << 20
    file = await call.run(lambda: tempfile.TemporaryFile(dir=settings.DATA_DIR))  # noqa: SIM115
    try:
        async for part in call.body():
            await call.run(file.write, part)
            if file.tell() > most:
                said = f"A commit may have {settings.UPLOAD_LIMIT_MIB:,} MiB."
                raise Refused(413, "too_large", said)
    except BaseException:
        file.close()
        raise
    return file  # type: ignore[no-any-return]


async def _send_text(call: Call, text: Text) -> None:
    etag = hashlib.sha256(text.data).hexdigest().encode()
    headers = [(b"x-repo-commit", text.commit.encode()), (b"etag", b'"%s"' % etag)]
    await call.answer(200, text.data, kind="text/markdown; charset=utf-8", headers=headers)


async def _send_file(call: Call, file: File) -> None:
    etag = file.entry.sha256.encode()
    headers = [
        (b"x-repo-commit", file.commit.encode()),
        (b"x-linked-etag", b'"%s"' % etag),
        (b"x-linked-size", b"%d" % file.entry.size),
        (b"content-type", b"application/octet-stream"),
        (b"content-disposition", b"attachment"),
    ]
    if call.header(b"if-none-match").strip('W/"') == file.entry.sha256:
        await call.start(304, (b"etag", b'"%s"' % etag), *headers[:1])
        await call.write(b"", last=True)
        return
    await send_blob(call, file.entry.sha256, headers)


async def _body(call: Call) -> bytes:
    parts, size = [], 0
    async for part in call.body():
        size += len(part)
        if size > BODY:
            raise Refused(413, "too_large", f"This request may have {BODY >> 20} MiB.")
        parts.append(part)
    return b"".join(parts)


def _segments(scope: Scope) -> list[str]:
    """The path below /hf/, taken apart before it is unquoted: `refs%2Fpr%2F1` is one segment."""
    raw = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1").partition("?")[0].removeprefix(PREFIX)
    return [unquote(part) for part in path.split("/")]


def _closing(action: Callable[[], Any]) -> Any:
    try:
        return action()
    finally:
        connections.close_all()


async def _refuse(
    call: Call, status: int, code: str, detail: str, error: SlipwayError | None = None
) -> None:
    if call.started:
        return  # its length was promised: the client notices that the rest is missing
    line = " ".join(detail.split()).encode("ascii", "replace")
    headers = [(b"x-error-message", line)]
    # 403 under any other code is taken for a broken connection by clients, its reason not shown.
    headers.append((b"x-error-code", b"GatedRepo" if status == 403 else code.encode()))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="slipway"'))
    if isinstance(error, Missing) and error.commit:
        headers.append((b"x-repo-commit", error.commit.encode()))
    data = json.dumps({"error": detail}, ensure_ascii=False).encode()
    await call.answer(status, data, kind="application/json", headers=headers)
