"""Answers that were given before, in Redis: for requests that would be answered the same again.

The key holds the revision's digest, so a roll-out never serves an old answer, and the tenant unless
the configuration shares answers. Redis that is away means computing, never an error.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from typing import Any

import redis.asyncio as redis
from django.conf import settings
from redis.exceptions import RedisError

from console.gateway import forms
from console.gateway.decision import Target
from console.gateway.keys import Key
from console.gateway.openai import Ask
from console.gateway.routes import Arm
from models_app.events.publish import redis_url

logger = logging.getLogger(__name__)
#: A larger answer is not kept.
ENTRY_BYTES = 256 << 10
#: Redis that does not answer so fast is asked again after a while.
TIMEOUT_S = 0.25
AWAY_S = 2.0
#: How often somebody waits for another's equal request before computing it himself.
TURNS = 2
#: What does not change an answer, or only its form.
_NO_MATTER = frozenset({"stream", "stream_options", "user", "metadata"})
#: Answers without chance.
_ALWAYS = frozenset({"/v1/embeddings"})


class Entry:
    """The place of one request's answer; made for requests whose answers may be kept."""

    __slots__ = ("_answers", "_flight", "arm", "key", "seconds", "stream")

    def __init__(self, answers: "Answers", key: str, arm: Arm, stream: bool) -> None:
        self._answers = answers
        self._flight: asyncio.Future[bytes | None] | None = None
        self.key = key
        self.arm = arm
        self.seconds = arm.settings.response_cache_s
        self.stream = stream

    async def find(self) -> bytes | None:
        """The body, or all events of the stream; None: compute, then call `keep` or `give_up`.

        Equal requests are computed once: the others wait here for the first.
        """
        for _ in range(TURNS):
            flight = self._answers.flights.get(self.key)
            if flight is None:
                self._flight = self._answers.take_off(self.key)
                return await self._answers.load(self)
            if await asyncio.shield(flight) is not None:
                found = await self._answers.load(self)
                if found is not None:
                    return found
        return None

    def keep(self, body: bytes) -> None:
        """Store the answer in the form in which it was given, and let the others have it.

        In the background: the caller has its answer, and its call may be over.
        """
        flight, self._flight = self._flight, None
        if flight is not None:
            self._answers.keep(self, flight, body)

    def give_up(self) -> None:
        """There is no answer to keep: the next one computes."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self._answers.land(self.key, flight, None)


class Answers:
    """The cache, and the requests that are being computed for it in this process."""

    def __init__(self) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            redis_url(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        self._away_until = 0.0
        self.flights: dict[str, asyncio.Future[bytes | None]] = {}
        self._storing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Store the last answers and close the connections."""
        await asyncio.gather(*self._storing, return_exceptions=True)
        await self._redis.aclose()

    def entry(self, arm: Arm, target: Target, path: str, ask: Ask, key: Key) -> Entry | None:
        """The entry of a request, None if its answer is not kept."""
        if not arm.settings.response_cache_s or not repeatable(path, ask.fields):
            return None
        asked = {name: ask.fields[name] for name in ask.fields.keys() - _NO_MATTER}
        whose = "" if arm.settings.share_answers else key.tenant
        about = [arm.digest, arm.revision_id, target.adapter, path, whose, asked]
        text = json.dumps(about, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Entry(self, f"{settings.CHANNEL_PREFIX}:answer:{digest}", arm, ask.stream)

    def take_off(self, key: str) -> "asyncio.Future[bytes | None]":
        """The caller computes this one."""
        flight = self.flights[key] = asyncio.get_running_loop().create_future()
        return flight

    def keep(self, entry: Entry, flight: "asyncio.Future[bytes | None]", body: bytes) -> None:
        """Store and land, in a task of its own."""
        task = asyncio.create_task(self._keep(entry, flight, body))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _keep(
        self, entry: Entry, flight: "asyncio.Future[bytes | None]", body: bytes
    ) -> None:
        kept = False
        try:
            kept = len(body) <= ENTRY_BYTES and await self.store(entry, body)
        finally:
            self.land(entry.key, flight, body if kept else None)

    def land(self, key: str, flight: "asyncio.Future[bytes | None]", body: bytes | None) -> None:
        """It is computed, or will not be."""
        if self.flights.get(key) is flight:
            del self.flights[key]
        if not flight.done():
            flight.set_result(body)

    async def load(self, entry: Entry) -> bytes | None:
        """The answer in the entry's form, made from the other form if need be."""
        if time.monotonic() < self._away_until:
            return None
        try:
            whole, events = await self._redis.mget(f"{entry.key}:w", f"{entry.key}:s")
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
            return None
        found, other = (events, whole) if entry.stream else (whole, events)
        if found is not None or other is None:
            return found
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, IndexError):
            return forms.as_events(other) if entry.stream else forms.as_whole(other)
        return None

    async def store(self, entry: Entry, body: bytes) -> bool:
        """Keep an answer; False if that was not possible."""
        if time.monotonic() < self._away_until:
            return False
        key = f"{entry.key}:{'s' if entry.stream else 'w'}"
        try:
            await self._redis.set(key, body, ex=entry.seconds)
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
            return False
        return True

    def _away(self, error: Exception) -> None:
        logger.warning("answers are not kept, Redis is away: %s", error)
        self._away_until = time.monotonic() + AWAY_S


def repeatable(path: str, fields: dict[str, Any]) -> bool:
    """Whether chance has no part in the answer, or always the same."""
    if path in _ALWAYS:
        return True
    temperature, seed = fields.get("temperature"), fields.get("seed")
    cold = not isinstance(temperature, bool) and temperature == 0
    return cold or (isinstance(seed, int) and not isinstance(seed, bool))
