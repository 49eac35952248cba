"""What a node on another machine is given: addresses that it reaches, and no more keys than needed.

A joined node is trusted with the database and the broker; it never gets SECRET_KEY.
"""

import ipaddress
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.loader import MigrationLoader

from models_app.core.errors import SlipwayError

#: Raised when what a node and the console tell each other changes its meaning.
PROTOCOL = 1


class NotReachable(SlipwayError):
    """The database and Redis of this installation listen on the console's machine only."""

    status = 409
    code = "not_reachable"
    title = "Other machines cannot reach the servers"


class OtherVersion(SlipwayError):
    """The node's checkout does not fit the console's."""

    status = 409
    code = "other_version"
    title = "The versions do not fit"


def node_access() -> dict[str, Any]:
    """Addresses and keys for a node, or NotReachable with the remedy."""
    return {
        "protocol": PROTOCOL,
        "database_url": _reachable(settings.DATABASE_URL),
        "redis_url": _reachable(settings.REDIS_URL),
        "replica_key": settings.REPLICA_KEY,
    }


def require_version(protocol: int, migrations: Mapping[str, str]) -> None:
    """OtherVersion unless the node speaks as we do and knows the same tables.

    `migrations` names the newest migration of each app in the node's checkout.
    """
    if protocol != PROTOCOL:
        newer = "console" if protocol > PROTOCOL else "node"
        raise OtherVersion(f"Update the checkout of the {newer}, then start the node again.")
    graph = _migrations()
    for app, name in migrations.items():
        newest = {found for label, found in graph.leaf_nodes() if label == app}
        if not newest or name in newest:
            continue
        known = (app, name) in graph.nodes
        older, newer = ("node", "console") if known else ("console", "node")
        raise OtherVersion(
            f"The {older}'s checkout is older than the {newer}'s (see the tables of {app}). "
            f"Update the {older} and start it again."
        )


@cache
def _migrations() -> MigrationGraph:
    graph: MigrationGraph = MigrationLoader(None).graph
    return graph


def console_url() -> str:
    """The address to which new nodes are sent."""
    parts = urlsplit(settings.PUBLIC_URL)
    if _is_loopback(parts.hostname) and settings.CLUSTER_HOST:
        return f"{parts.scheme}://{_bracketed(settings.CLUSTER_HOST)}:{parts.port or settings.PORT}"
    return str(settings.PUBLIC_URL)


def _reachable(url: str) -> str:
    parts = urlsplit(url)
    if not _is_loopback(parts.hostname):
        return url
    if not settings.CLUSTER_HOST:
        raise NotReachable(
            "PostgreSQL and Redis listen on the console's machine only. Start the console with "
            "SLIPWAY_CLUSTER_HOST=<its address in your network> and SLIPWAY_HOST=0.0.0.0, or give "
            "it servers of your own by DATABASE_URL and REDIS_URL."
        )
    secret, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{secret}{at}{_bracketed(settings.CLUSTER_HOST)}{port}").geturl()


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "127.0.0.1").is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
