"""One socket a page: subscribe to topics, hear doorbells. Rights are checked again while it lives.

Client: {"sub": "job.1842"} or {"unsub": "job.1842"}, and {"sub": "job.1842.log", "after": 77} for
the lines of a log themselves, from a number on. Server: {"topic", "type"} with type subscribed,
refused or unsubscribed; events as {"topic", "type": "job.changed", "data": {...}}; {"type":
"heartbeat"} in quiet times. Close codes: 4401 signed out, 4400 not our protocol. Frames of log
lines: docs/reference/logs.md.
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

from console.live.hub import Viewer, hub_of
from console.live.rights import may_listen, session_alive

logger = logging.getLogger(__name__)
MAX_TOPICS = 64
MAX_BYTES = 64 * 1024
HEARTBEAT_S = 20.0
RECHECK_S = 10.0
SIGNED_OUT = 4401
NOT_OUR_PROTOCOL = 4400
MOST_LINES = 1 << 62
LOG_TOPIC = re.compile(r"job\.([1-9][0-9]{0,16})\.log")
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
        #: Topic of a log -> the task that brings its lines.
        self.logs: dict[str, asyncio.Task[None]] = {}
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
        verb, topic, after = request
        if verb == "sub" and after is not None:
            await self._watch(topic, after)
        elif verb == "sub":
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

    async def _watch(self, topic: str, after: int) -> None:
        """Bring the lines of a log after a number; asked again, from the new number on."""
        full = topic not in self.topics and len(self.topics) >= MAX_TOPICS
        found = LOG_TOPIC.fullmatch(topic)
        if full or not found or not await self._allowed(topic):
            await self._say({"topic": topic, "type": "refused"})
            return
        await self._leave(topic)
        self.topics[topic] = time.monotonic()
        await self._say({"topic": topic, "type": "subscribed"})
        self.logs[topic] = asyncio.create_task(self._bring(topic, int(found[1]), after))

    async def _bring(self, topic: str, job_id: int, after: int) -> None:
        async def allowed() -> bool:
            if time.monotonic() - self.topics[topic] < self.recheck_s:
                return True
            self.topics[topic] = time.monotonic()
            return await self._allowed(topic)

        try:
            await Viewer(hub_of(job_id), after, self._send_text, allowed).run()
            self.topics.pop(topic, None)
            self.logs.pop(topic, None)
            await self._say({"topic": topic, "type": "unsubscribed"})
        except OSError:
            # The socket is gone; its `disconnect` tidies up.
            logger.debug("a viewer of %s is gone", topic)
        except Exception:
            logger.exception("viewer of %s", topic)
            await self.close()

    async def _send_text(self, text: str) -> None:
        await self.send(text_data=text)

    async def _leave(self, topic: str) -> None:
        task = self.logs.pop(topic, None)
        if task is not None:
            self.topics.pop(topic, None)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        elif self.topics.pop(topic, None) is not None:
            await self.channel_layer.group_discard(topic, self.channel_name)

    async def _confirm(self, topic: str) -> None:
        """Ask again whether the topic may be heard; cut it off if not."""
        # Set first: events that arrive while we ask do not ask as well.
        self.topics[topic] = time.monotonic()
        if not await self._allowed(topic):
            await self._leave(topic)
            await self._say({"topic": topic, "type": "unsubscribed"})

    async def _allowed(self, topic: str) -> bool:
        # Who may hear of a job may read its log.
        return bool(
            await database_sync_to_async(may_listen)(self.user_pk, topic.removesuffix(".log"))
        )

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
            try:
                await self._say({"type": "heartbeat"})
            except OSError:
                # The socket is gone; its `disconnect` tidies up.
                return

    async def _still_signed_in(self) -> bool:
        key = getattr(self.scope.get("session"), "session_key", None)
        return bool(await database_sync_to_async(session_alive)(self.user_pk, key))

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message, separators=(",", ":"), default=str))


def _request(text: str) -> tuple[str, str, int | None] | None:
    """The verb, the topic and for a log the number after which to begin; None: anything else."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    after = message.pop("after", None)
    if len(message) != 1:
        return None
    verb, topic = next(iter(message.items()))
    if verb not in ("sub", "unsub") or not isinstance(topic, str) or len(topic) > 80:
        return None
    if after is None:
        return verb, topic, None
    # A bool is an int to Python, not to us.
    if type(after) is not int or not 0 <= after < MOST_LINES or verb != "sub":
        return None
    return verb, topic, after
