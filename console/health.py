"""`/healthz`: the process lives. `/readyz`: it can serve; each part is named."""

from collections.abc import Callable

import redis
from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from models_app.pools.selectors import nodes_ready


@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return JsonResponse({"status": "ok"})


@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """200 with every part `ok`, or 503 naming what is missing."""
    parts = {name: _state(check) for name, check in CHECKS.items()}
    ready = all(state == "ok" for state in parts.values())
    body = {"status": "ok" if ready else "unavailable", "parts": parts}
    response = JsonResponse(body, status=200 if ready else 503)
    if not ready:
        response["Retry-After"] = "5"
        response._has_been_logged = True  # type: ignore[attr-defined]  # expected while starting
    return response


def _state(check: Callable[[], str]) -> str:
    try:
        return check()
    except (OperationalError, redis.RedisError, OSError) as error:
        return f"{type(error).__name__}: not reachable"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _redis() -> str:
    redis.Redis.from_url(
        settings.CELERY_BROKER_URL, socket_timeout=2, socket_connect_timeout=2
    ).ping()
    cache.get("readyz")
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(plan)} migrations are not applied: run `manage.py migrate`" if plan else "ok"


def _worker() -> str:
    return "ok" if nodes_ready().exists() else "no worker has given a sign of life for 15 s"


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "redis": _redis,
    "migrations": _migrations,
    "worker": _worker,
}
