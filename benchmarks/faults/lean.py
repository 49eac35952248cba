"""A light client of completions that asks again exactly when the stock `openai` client does.

Twice at most, after a connection that broke before the answer was there, after 408, 409, 429 and
5xx; it waits as long as `retry-after` says, else half a second and twice as long each time. A
stream that has begun is never asked for again.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

RETRIES = 2
_AGAIN = {408, 409, 429}


class Unfinished(Exception):
    """A stream broke off, or ended as if it were whole and was not."""


class Busy(Exception):
    """429, to the last try."""


class Failed(Exception):
    """No answer, to the last try."""


class Answer:
    """A whole answer, or a stream of which the headers have come."""

    def __init__(self, retries: int, body: Any, response: aiohttp.ClientResponse | None) -> None:
        self.retries, self._body, self._response = retries, body, response

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The parts of the answer. Raises Unfinished."""
        if self._response is None:
            yield self._body
            return
        done = False
        try:
            async for line in self._response.content:
                if line.startswith(b"data: {"):
                    chunk = json.loads(line[6:])
                    if "error" in chunk:
                        raise Unfinished(str(chunk["error"]))
                    yield chunk
                done = done or line.startswith(b"data: [DONE]")
        except (aiohttp.ClientError, OSError) as error:
            raise Unfinished(repr(error)) from error
        finally:
            self._response.release()
        if not done:
            raise Unfinished("the stream ended without a word")


class Lean:
    """`async with Lean(url, token, seconds)`: a pool of connections."""

    def __init__(self, url: str, token: str, patience_s: float, *, retries: int = RETRIES) -> None:
        self._url, self._token, self._patience_s = url, token, patience_s
        self._retries = retries

    async def __aenter__(self) -> "Lean":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._patience_s),
            headers={"Authorization": f"Bearer {self._token}"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, body: dict[str, Any]) -> Answer:
        """Raises Busy or Failed."""
        failure: Exception = Failed()
        for tried in range(self._retries + 1):
            wait_s = min(0.5 * 2**tried, 8.0) * (1 - 0.25 * random.random())
            try:
                response = await self._session.post(self._url, json=body)
                if response.status == 200 and body["stream"]:
                    return Answer(tried, None, response)
                text = await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = Failed(repr(error))
            else:
                if response.status == 200:
                    return Answer(tried, json.loads(text), None)
                said = f"{response.status} {text[:300]!r}"
                failure = Busy(said) if response.status == 429 else Failed(said)
                should = response.headers.get("x-should-retry", "")
                again = response.status in _AGAIN or response.status >= 500
                if should == "false" or (should != "true" and not again):
                    raise failure
                with contextlib.suppress(ValueError):
                    wait_s = float(response.headers.get("retry-after", "")) or wait_s
            if tried < self._retries:
                await asyncio.sleep(wait_s)
        raise failure
