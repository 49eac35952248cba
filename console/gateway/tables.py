"""Keeps routes and keys in memory as the database has them: on every notice, and every second."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import redis.asyncio as redis
from django.db import Error as DatabaseError
from redis.exceptions import RedisError

from console.gateway import loading
from console.gateway.keys import Asked, Key, Keys
from console.gateway.routes import Routes
from console.gateway.routing.table import Routing
from models_app.events.publish import channel, redis_url

logger = logging.getLogger(__name__)
TOPIC = "gateway"
POLL_S = 1.0
MARK_USED_S = 60.0
T = TypeVar("T")


class Tables:
    """The gateway's memory. While the database is away, what was known last stays true."""

    def __init__(self) -> None:
        self.routes = Routes()
        self.routing = Routing()
        self.keys = Keys(self._load_keys)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-tables")
        self._notice = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._failing = False
        self._marked = time.monotonic()

    async def start(self) -> None:
        """Load once, then keep fresh. A database that is away is waited for in the background."""
        await self._refresh()
        self._tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        """End the tasks and write down which tokens were used."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(DatabaseError):
            await self._mark_used()
        self._thread.shutdown(wait=False)

    async def _load_keys(self, asked: Sequence[Asked]) -> dict[str, Key]:
        return await self._hop(functools.partial(loading.load_keys, asked))

    async def _hop(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _refresh(self) -> None:
        asked = self.keys.asked()
        load = functools.partial(loading.load_tables, asked, self.routing.known())
        try:
            rows, routes, fresh = await self._hop(load)
        except DatabaseError as error:
            if not self._failing:
                logger.warning("routes and keys cannot be refreshed: %s", error)
            self._failing = True
            return
        if self._failing:
            logger.warning("routes and keys are fresh again")
        self._failing = False
        self.keys.apply(asked, fresh)
        self.routing.apply(routes)
        self.routes.apply(rows)

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._notice.wait()
            # Cleared before reading: a notice that comes meanwhile means one more round.
            self._notice.clear()
            try:
                await self._refresh()
                if time.monotonic() - self._marked > MARK_USED_S:
                    await self._mark_used()
            except Exception:
                logger.exception("refreshing the gateway's tables failed")
                await asyncio.sleep(POLL_S)

    async def _mark_used(self) -> None:
        self._marked = time.monotonic()
        used = self.keys.take_used()
        if used:
            await self._hop(functools.partial(loading.mark_used, used))

    async def _listen(self) -> None:
        """Notices make changes count at once; without Redis the poll still finds them."""
        client = redis.Redis.from_url(
            redis_url(), socket_connect_timeout=5, health_check_interval=15
        )
        try:
            while True:
                try:
                    await self._hear(client)
                except (RedisError, OSError) as error:
                    logger.warning("no notices from Redis, polling instead: %s", error)
                    await asyncio.sleep(POLL_S)
        finally:
            await client.aclose()

    async def _hear(self, client: "redis.Redis") -> None:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe(channel(TOPIC))
            while True:
                message = await pubsub.get_message(timeout=10)
                # The first one says that we are subscribed: what came before was missed.
                if message is not None:
                    self._notice.set()
