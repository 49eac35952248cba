"""The API of pools: where jobs run, with limits and what of them is taken.

It stands with jobs because what is taken, and whether a pool may go, is a matter of jobs.
"""

from typing import Any

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.jobs.models import Job
from models_app.jobs.resources import COUNTED
from models_app.jobs.room import Room
from models_app.pools.models import Pool
from models_app.pools.selectors import pool_get, pool_list
from models_app.pools.services.pools import pool_create, pool_delete, pool_update


class PoolOutput(serializers.Serializer[Any]):
    """A pool: its limits (null: what the nodes have), what is taken, and its nodes."""

    name = serializers.CharField()
    description = serializers.CharField()
    is_default = serializers.BooleanField()
    selector = serializers.DictField(child=serializers.CharField())
    teams = serializers.ListField(child=serializers.CharField())
    shares = serializers.DictField(child=serializers.FloatField())
    private_network = serializers.BooleanField(
        help_text="Trainings may run on several of its nodes at once"
    )
    limits = serializers.DictField(child=serializers.FloatField(allow_null=True))
    used = serializers.DictField(child=serializers.FloatField())
    nodes = serializers.ListField(child=serializers.CharField())


class PoolChange(BaseModel):
    """What can be changed; what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    description: str | None = None
    selector: dict[str, str] | None = None
    teams: list[str] | None = None
    shares: dict[str, float] | None = None
    private_network: bool | None = None
    slots: int | None = None
    cpus: float | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    gpus: int | None = None


class PoolInput(PoolChange):
    """A new pool."""

    name: str


class PoolListApi(APIView):
    """Pools that your teams may use; platform admins see all and may make more."""

    @extend_schema(responses=PoolOutput(many=True))
    def get(self, request: Request) -> Response:
        actor: Any = request.user
        room = Room()
        return Response([pool_data(pool, room) for pool in pool_list(actor=actor)])

    @extend_schema(request=request_schema(PoolInput), responses={201: PoolOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(PoolInput, request.data)
        pool = pool_create(actor=actor, name=given.name, **_fields(actor, given))
        return Response(pool_data(pool, Room()), status=201)


class PoolDetailApi(APIView):
    """One pool."""

    @extend_schema(responses=PoolOutput)
    def get(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        return Response(pool_data(pool_get(actor=actor, name=name), Room()))

    @extend_schema(request=request_schema(PoolChange), responses=PoolOutput)
    def patch(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        pool = pool_get(actor=actor, name=name)
        given = parse(PoolChange, request.data)
        pool = pool_update(actor=actor, pool=pool, **_fields(actor, given))
        return Response(pool_data(pool, Room()))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        pool = pool_get(actor=actor, name=name)
        pool_delete(actor=actor, pool=pool, jobs=Job.objects.filter(pool=pool).count())
        return Response(status=204)


def _fields(actor: Any, given: PoolChange) -> dict[str, Any]:
    fields = given.model_dump(exclude_unset=True, exclude={"name", "teams"})
    if given.teams is not None:
        fields["teams"] = [team_named(actor, slug) for slug in given.teams]
    return {name: value for name, value in fields.items() if value is not None or name in COUNTED}


def pool_data(pool: Pool, room: Room) -> dict[str, Any]:
    """A pool as the API and the pages show it."""
    limit = room.limits[pool.pk]
    return {
        "name": pool.name,
        "description": pool.description,
        "is_default": pool.is_default,
        "selector": pool.selector,
        "teams": sorted(team.slug for team in pool.teams.all()),
        "shares": pool.shares,
        "private_network": pool.private_network,
        "limits": {name: getattr(pool, name) for name in COUNTED},
        "used": {name: limit.used[name] for name in COUNTED},
        "nodes": [node.name for node in room.members(pool)],
    }
