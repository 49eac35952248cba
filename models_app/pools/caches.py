"""What nodes without the console's disk hold of its files: told by them, a hint for placement.

It lies in Redis and is forgotten when a node falls silent. Where it is wrong, or Redis is away, a
job is placed less well and nothing else happens.
"""

import logging
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import redis
from django.conf import settings

from models_app.events.publish import redis_url

logger = logging.getLogger(__name__)

#: A node tells what it holds this often, and is forgotten after that long.
EVERY_S, TTL_S = 10, 45
#: So many files of a node are told at most, those that were used last.
MOST = 5000


def cache_report(node: str, digests: Iterable[str]) -> None:
    """What the node holds now; replaces what it said before."""
    key = _key(node)
    names = list(digests)[:MOST]
    try:
        pipe = _client().pipeline(transaction=True)
        pipe.delete(key)
        if names:
            pipe.sadd(key, *names)
            pipe.expire(key, TTL_S)
        pipe.execute()
    except redis.RedisError as error:
        logger.warning("what %s holds was not told: %s", node, error)


def nodes_holding(nodes: Sequence[str], digests: Sequence[str]) -> dict[str, set[str]]:
    """node -> those of `digests` that lie there; none where nothing is known."""
    found: dict[str, set[str]] = {node: set() for node in nodes}
    if not nodes or not digests:
        return found
    try:
        pipe = _client().pipeline(transaction=False)
        for node in nodes:
            pipe.smismember(_key(node), list(digests))
        answers = pipe.execute()
    except redis.RedisError as error:
        logger.warning("what nodes hold is not known: %s", error)
        return found
    for node, there in zip(nodes, answers, strict=True):
        found[node] = {name for name, held in zip(digests, there, strict=True) if held}
    return found


def _key(node: str) -> str:
    return f"{settings.CHANNEL_PREFIX}:cache:{node}"


@cache
def _client() -> Any:
    return redis.Redis.from_url(
        redis_url(), socket_timeout=1, socket_connect_timeout=1, health_check_interval=30
    )
