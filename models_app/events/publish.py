"""Tells browsers that something changed: at most once, tiny, after commit; pages fetch it."""

import logging
from functools import cache
from typing import Any

import redis
from channels_redis.serializers import registry
from django.conf import settings
from django.db import transaction

logger = logging.getLogger(__name__)


def publish_on_commit(event: str, data: dict[str, Any], *topics: str) -> None:
    """Publish `event` (such as `job.changed`) to `topics` when the transaction commits."""
    transaction.on_commit(lambda: publish_now(event, data, *topics), robust=True)


def publish_now(event: str, data: dict[str, Any], *topics: str) -> None:
    """Publish at once. A dead Redis is logged and otherwise ignored: pages poll as well.

    What a team hears is rung on `all` too: who sees every team listens to one topic, not to each.
    """
    if any(topic.startswith("team.") for topic in topics):
        topics = (*topics, "all")
    try:
        client = _client()
        pipe = client.pipeline(transaction=False)
        for topic in topics:
            message = {"type": "live.event", "topic": topic, "event": event, "data": data}
            pipe.publish(channel(topic), _serializer().serialize(message))
        pipe.execute()
    except redis.RedisError as error:
        logger.warning("live event %s not published: %s", event, error)


def channel(topic: str) -> str:
    """The Redis channel of a topic."""
    # The name that RedisPubSubChannelLayer gives a group: a plain PUBLISH costs a hundredth of
    # async_to_sync(group_send), which opens a loop and a connection for each message.
    return f"{settings.CHANNEL_PREFIX}__group__{topic}"


def redis_url() -> str:
    """The Redis that carries the events."""
    layer: Any = settings.CHANNEL_LAYERS["default"]["CONFIG"]
    return str(layer["hosts"][0])


@cache
def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        redis_url(),
        socket_timeout=2,
        socket_connect_timeout=2,
        health_check_interval=30,
    )


@cache
def _serializer() -> Any:
    return registry.get_serializer("msgpack")
