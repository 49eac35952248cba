"""One socket a page: subscribe to topics, hear doorbells. Rights are checked again while it lives.

Client: {"sub": "job.1842"} or {"unsub": "job.1842"}. Server: {"topic", "type"} with type
subscribed, refused or unsubscribed; events as {"topic", "type": "job.changed", "data": {...}};
{"type": "heartbeat"} in quiet times. Close codes: 4401 signed out, 4400 not our protocol.
"""

import asyncio
import contextlib
import json
import logging
import re
import time
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from console.live.rights import may_listen, session_alive

logger = logging.getLogger(__name__)
MAX_TOPICS = 64
MAX_BYTES = 64 * 1024
HEARTBEAT_S = 20.0
RECHECK_S = 10.0
SIGNED_OUT = 4401
NOT_OUR_PROTOCOL = 4400
TOPIC = re.compile(r"all|[a-z_]{1,30}\.[A-Za-z0-9-]{1,40}")


class LiveConsumer(AsyncWebsocketConsumer):
    """Carries events of the subscribed topics to one page."""

    heartbeat_s = HEARTBEAT_S
    recheck_s = RECHECK_S

    async def connect(self) -> None:
        """Accept, then close with a code if nobody is signed in: a browser sees codes, not 403."""
        #: Topic -> when the right to hear it was last confirmed (monotonic seconds).
        self.topics: dict[str, float] = {}
        self.beat: asyncio.Task[None] | None = None
        user = self.scope.get("user")
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(code=SIGNED_OUT)
            return
        self.user_pk = user.pk
        self.beat = asyncio.create_task(self._beat())

    async def disconnect(self, code: int) -> None:
        """Leave every group; the layer's groups expire only slowly on their own."""
        if self.beat is not None:
            self.beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.beat
        for topic in list(self.topics):
            await self._leave(topic)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle one request of the page."""
        if text_data is None or len(text_data) > MAX_BYTES:
            await self.close(code=NOT_OUR_PROTOCOL)
            return
        request = _request(text_data)
        if request is None:
            await self.close(code=NOT_OUR_PROTOCOL)
            return
        verb, topic = request
        if verb == "sub":
            await self._subscribe(topic)
        else:
            await self._leave(topic)
            await self._say({"topic": topic, "type": "unsubscribed"})

    async def live_event(self, message: dict[str, Any]) -> None:
        """An event from the channel layer; the right is confirmed at most every few seconds."""
        topic = message["topic"]
        if topic not in self.topics:
            return
        if time.monotonic() - self.topics[topic] >= self.recheck_s:
            await self._confirm(topic)
        if topic in self.topics:
            await self._say({"topic": topic, "type": message["event"], "data": message["data"]})

    async def _subscribe(self, topic: str) -> None:
        if topic not in self.topics:
            full = len(self.topics) >= MAX_TOPICS
            if full or not TOPIC.fullmatch(topic) or not await self._allowed(topic):
                await self._say({"topic": topic, "type": "refused"})
                return
            await self.channel_layer.group_add(topic, self.channel_name)
            self.topics[topic] = time.monotonic()
        await self._say({"topic": topic, "type": "subscribed"})

    async def _leave(self, topic: str) -> None:
        if self.topics.pop(topic, None) is not None:
            await self.channel_layer.group_discard(topic, self.channel_name)

    async def _confirm(self, topic: str) -> None:
        """Ask again whether the topic may be heard; cut it off if not."""
        # Set first: events that arrive while we ask do not ask as well.
        self.topics[topic] = time.monotonic()
        if not await self._allowed(topic):
            await self._leave(topic)
            await self._say({"topic": topic, "type": "unsubscribed"})

    async def _allowed(self, topic: str) -> bool:
        return bool(await database_sync_to_async(may_listen)(self.user_pk, topic))

    async def _beat(self) -> None:
        """Keep proxies from closing a quiet socket; end it when the session has ended."""
        while True:
            await asyncio.sleep(self.heartbeat_s)
            try:
                if not await self._still_signed_in():
                    await self.close(code=SIGNED_OUT)
                    return
                for topic in list(self.topics):
                    if time.monotonic() - self.topics.get(topic, 0.0) >= self.heartbeat_s:
                        await self._confirm(topic)
            except DatabaseError as error:
                # Nothing is sent without a fresh right, so waiting for the database is safe.
                logger.warning("live socket could not check rights: %s", error)
            await self._say({"type": "heartbeat"})

    async def _still_signed_in(self) -> bool:
        key = getattr(self.scope.get("session"), "session_key", None)
        return bool(await database_sync_to_async(session_alive)(self.user_pk, key))

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message, separators=(",", ":"), default=str))


def _request(text: str) -> tuple[str, str] | None:
    """The verb and the topic, or None for anything else."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict) or len(message) != 1:
        return None
    verb, topic = next(iter(message.items()))
    if verb not in ("sub", "unsub") or not isinstance(topic, str) or len(topic) > 80:
        return None
    return verb, topic
