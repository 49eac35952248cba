"""How busy deployments are just now, as the gateways see it: gauges in Redis, never the truth.

Every gateway reports about once a second and is forgotten a few seconds after it fell silent.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import redis
from django.conf import settings

from models_app.events.publish import redis_url

logger = logging.getLogger(__name__)

#: A gateway that has said nothing for so long does not count any more.
TTL_S = 5


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests of one deployment: those at its replicas, and those that wait at the gateway."""

    running: int = 0
    waiting: int = 0
    #: Replica -> requests that it has not finished.
    replicas: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.running + self.waiting

    def __add__(self, other: "Load") -> "Load":
        ids = {*self.replicas, *other.replicas}
        return Load(
            running=self.running + other.running,
            waiting=self.waiting + other.waiting,
            replicas={pk: self.replicas.get(pk, 0) + other.replicas.get(pk, 0) for pk in ids},
        )


def load_report(gateway_id: str, rows: Mapping[int, Load]) -> None:
    """Say what one gateway has to do: deployment -> load; what is not named is idle there.

    To be called about once a second, also with nothing to say. Blocks for a few milliseconds; a
    dead Redis is logged and otherwise ignored.
    """
    said = {
        pk: [row.running, row.waiting, dict(row.replicas)]
        for pk, row in rows.items()
        if row.total or row.replicas
    }
    try:
        pipe = _client().pipeline(transaction=False)
        pipe.set(_key(gateway_id), json.dumps(said), ex=TTL_S)
        pipe.sadd(_key(), gateway_id)
        pipe.execute()
    except redis.RedisError as error:
        logger.warning("load not reported: %s", error)


def load_now() -> dict[int, Load] | None:
    """deployment -> load over all gateways; what is not named is idle.

    None: nobody knows, since no gateway has reported lately or Redis is away. That is not idle.
    """
    try:
        names = sorted(name.decode() for name in _client().smembers(_key()))
        found = _client().mget([_key(name) for name in names]) if names else []
        gone = [name for name, said in zip(names, found, strict=True) if said is None]
        if gone:
            _client().srem(_key(), *gone)
    except redis.RedisError as error:
        logger.warning("load not known: %s", error)
        return None
    reports = [json.loads(said) for said in found if said is not None]
    if not reports:
        return None
    loads: dict[int, Load] = {}
    for report in reports:
        for pk, (running, waiting, replicas) in report.items():
            busy = {int(replica): count for replica, count in replicas.items()}
            mine = Load(running=running, waiting=waiting, replicas=busy)
            loads[int(pk)] = loads.get(int(pk), Load()) + mine
    return loads


def _key(gateway_id: str = "") -> str:
    """The key of one gateway's report, or of the set of all gateways."""
    prefix = f"{settings.CHANNEL_PREFIX}:load"
    return f"{prefix}:of:{gateway_id}" if gateway_id else f"{prefix}:gateways"


@cache
def _client() -> Any:
    return redis.Redis.from_url(
        redis_url(), socket_timeout=1, socket_connect_timeout=1, health_check_interval=30
    )
