"""Sockets that follow a log as pages do: they resume by number, and look at what they get."""

import asyncio
import hashlib
import http.cookiejar
import json
import re
import socket
import threading
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.waiting import WAIT_S

RETRY_S = 0.3


def sign_in(url: str, email: str, password: str) -> str:
    """The Cookie header of a browser in which this person is signed in."""
    jar = http.cookiejar.CookieJar()
    browser = build_opener(HTTPCookieProcessor(jar))
    page = browser.open(f"{url}/login/", timeout=WAIT_S).read().decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found, page[:2000]
    fields = {"username": email, "password": password, "csrfmiddlewaretoken": found[1]}
    request = Request(f"{url}/login/", urlencode(fields).encode(), {"Referer": f"{url}/login/"})
    browser.open(request, timeout=WAIT_S).read()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


class Digest:
    """A log in short: as many lines as there are, one digest over them all."""

    def __init__(self) -> None:
        self.last = 0
        self._hash = hashlib.sha256()

    def take(self, lines: list[list[Any]]) -> None:
        for line in lines:
            assert line[0] == self.last + 1, f"line {line[0]} after {self.last}"
            self.last = line[0]
            self._hash.update(json.dumps(line).encode())

    def __repr__(self) -> str:
        return f"{self.last} lines, {self._hash.hexdigest()[:16]}"


class Viewer:
    """One page. `pause_s` after each frame makes it one of a slow connection."""

    def __init__(self, url: str, cookie: str, job_id: int, pause_s: float = 0.0) -> None:
        self.url, self.topic, self.pause_s = url, f"job.{job_id}.log", pause_s
        self.headers = {"Cookie": cookie, "Origin": url}
        self.seen = Digest()
        self.closed = False
        self.connections = 0
        self.problem: BaseException | None = None

    async def follow(self) -> None:
        while not self.closed:
            try:
                await self._connection()
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(RETRY_S)
            except BaseException as error:
                self.problem = error
                raise

    async def _connection(self) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        plug = socket.socket()
        if self.pause_s:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, (host, int(port)))
        async with connect(
            f"ws{self.url[4:]}/ws/live/", sock=plug, additional_headers=self.headers,
            max_size=None, max_queue=2, open_timeout=60, close_timeout=1,
        ) as page:  # fmt: skip
            await page.send(json.dumps({"sub": self.topic, "after": self.seen.last}))
            self.connections += 1
            while not self.closed:
                message = json.loads(await asyncio.wait_for(page.recv(), WAIT_S))
                assert message["type"] not in ("refused", "unsubscribed"), message
                if message["type"] == "log.lines":
                    data = message["data"]
                    assert data["first"] == self.seen.last + 1, message
                    self.seen.take(data["lines"])
                    self.closed = data["closed"]
                    await asyncio.sleep(self.pause_s)


class Audience:
    """Several viewers in a thread with a loop of its own."""

    def __init__(self, viewers: list[Viewer]) -> None:
        self.viewers = viewers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="audience", daemon=True)

    def __enter__(self) -> "Audience":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(20)

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _run(self) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(one.follow() for one in self.viewers), return_exceptions=True)

        try:
            self._loop.run_until_complete(all_of_them())
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    def check(self) -> None:
        """Whatever one of them did not like is the test's."""
        for viewer in self.viewers:
            if viewer.problem is not None:
                raise AssertionError(f"viewer at {viewer.seen}") from viewer.problem

    def furthest(self) -> int:
        self.check()
        return max(viewer.seen.last for viewer in self.viewers)
