"""`/internal/`: the store of files, for nodes that joined and do not see the console's disk.

Bare ASGI in front of Django, so that files of any size stream through little memory. A node proves
who it is with its name and secret; it may read and add any file by its digest. Nothing can be
listed, changed or removed here.
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections

from console.internal import transfer
from console.problems import CONTENT_TYPE, problem
from console.transfer.call import Call, Receive, Refused, Scope, Send
from models_app.core.errors import SlipwayError
from models_app.jobs.checkpoints import checkpoint_adopt
from models_app.pools.joining import node_authenticate
from models_app.pools.joining_api import basic_credentials

logger = logging.getLogger(__name__)
PREFIX = "/internal/"
_BLOB = re.compile(r"blobs/([0-9a-f]{64})")
_CHECKPOINT = re.compile(r"checkpoints/([1-9][0-9]{0,17})")


class Internal:
    """ASGI 3 for requests below `/internal/`."""

    def __init__(self) -> None:
        self._files = ThreadPoolExecutor(4, thread_name_prefix="files")
        #: Reading whole checkpoints takes long: one at a time, apart from the rest.
        self._adopting = ThreadPoolExecutor(1, thread_name_prefix="adopt")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send, self._files)
        try:
            await call.run(_authenticate, call.header(b"authorization"))
            await self._dispatch(call, scope["path"].removeprefix(PREFIX))
        except SlipwayError as error:
            await _refuse(call, error.status, error.code, error.message, str(error.title))
        except Refused as error:
            await _refuse(call, error.status, error.code, error.detail)
        except TimeoutError:
            logger.warning("%s %s: nothing came for too long", call.method, scope["path"])
        except Exception:
            logger.exception("%s %s", call.method, scope["path"])
            await _refuse(call, 500, "internal_error", "The console's log tells more.")

    async def _dispatch(self, call: Call, path: str) -> None:
        blob, checkpoint = _BLOB.fullmatch(path), _CHECKPOINT.fullmatch(path)
        if blob and call.method in transfer.METHODS:
            await transfer.METHODS[call.method](call, blob[1])
        elif checkpoint and call.method == "POST":
            await self._adopt(call, int(checkpoint[1]))
        else:
            raise Refused(404, "not_found", "There is nothing of this name for nodes.")

    async def _adopt(self, call: Call, checkpoint_id: int) -> None:
        """Turn a checkpoint on the console's disk into blobs that the node can fetch."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._adopting, _closing(checkpoint_adopt), checkpoint_id
        )
        if not found:
            raise Refused(404, "not_found", "This checkpoint is not on the console's disk.")
        await call.answer(204)


def _closing(action: Callable[..., Any]) -> Callable[..., Any]:
    def closed(*args: Any) -> Any:
        try:
            return action(*args)
        finally:
            connections.close_all()

    return closed


def _authenticate(header: str) -> None:
    name, secret = basic_credentials(header)
    _closing(lambda: node_authenticate(name=name, secret=secret))()


async def _refuse(call: Call, status: int, code: str, detail: str, title: str = "") -> None:
    if call.started:
        return  # its length was promised: the node notices that the rest is missing
    body = json.dumps(
        problem(status=status, code=code, title=title or "The file is not given", detail=detail)
    ).encode()
    await call.answer(status, body, kind=CONTENT_TYPE)
