"""Django's synchronous pages under ASGI with one thread hop a request.

Django's own ASGI handler makes two hops for every middleware and a thread for every request; this
one runs the whole request in a thread of a small pool (measured: 2 to 13 times less CPU, and
sockets on the same loop keep answering in milliseconds). See docs/architecture.md.
"""

import asyncio
import contextvars
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from console.problems import CONTENT_TYPE, problem

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_END = object()


class OneHopHandler(ASGIHandler):
    """Pages and API in a bounded thread pool; bodies are spooled, never held whole in memory."""

    def __init__(self, threads: int) -> None:
        BaseHandler.__init__(self)
        self.load_middleware(is_async=False)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        # Names with an underscore could shadow X-Forwarded-* in META.
        scope = dict(scope, headers=[h for h in scope["headers"] if b"_" not in h[0]])
        if _declared_length(scope) > settings.UPLOAD_LIMIT_MIB << 20:
            await _refuse(scope, send)
            return
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        try:
            response, headers, content = await self._hop(self._run, scope, body)
        finally:
            body.close()
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        if content is not None:
            await send({"type": "http.response.body", "body": content})
        else:
            await self._stream(response, send)

    async def _hop(self, function: Callable[..., Any], *args: Any) -> Any:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, context.run, function, *args)

    def _run(self, scope: Scope, body: Any) -> tuple[HttpResponseBase, list[Any], bytes | None]:
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, error = self.create_request(scope, body)
        response: Any = error if request is None else self.get_response(request)
        response._handler_class = self.__class__
        headers = _headers(response)
        if response.streaming:
            return response, headers, None
        content = response.content
        # In the same thread, so that the database connection goes back to the pool from here.
        response.close()
        return response, headers, content

    async def _stream(self, response: Any, send: Send) -> None:
        assert isinstance(response, StreamingHttpResponse)
        try:
            parts: Iterator[bytes] = iter(response)
            while (part := await self._hop(next, parts, _END)) is not _END:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            await self._hop(response.close)


def _headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    cookies = (
        cookie.output(header="").encode("ascii").strip() for cookie in response.cookies.values()
    )
    return headers + [(b"Set-Cookie", cookie) for cookie in cookies]


def _declared_length(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0


async def _refuse(scope: Scope, send: Send) -> None:
    detail = f"The body is larger than {settings.UPLOAD_LIMIT_MIB} MiB."
    text, kind = detail.encode(), b"text/plain"
    if scope["path"].startswith("/api/"):
        body = problem(
            status=413, code="too_large", title="The request is too large", detail=detail
        )
        text, kind = json.dumps(body).encode(), CONTENT_TYPE.encode()
    headers = [(b"content-type", kind), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text})
