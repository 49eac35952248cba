"""What `GET /v1/models` tells: deployments, their adapters, and routes with theirs."""

from collections.abc import Iterator

from console.gateway import errors
from console.gateway.keys import Key
from console.gateway.routes import Route
from console.gateway.routing.choosing import adapters_of, find
from console.gateway.routing.table import Routed
from console.gateway.tables import Tables

Model = dict[str, object]


def models(tables: Tables, key: Key) -> list[Model]:
    """Every name that this key may ask for."""
    return list(_models(tables, key))


def _models(tables: Tables, key: Key) -> Iterator[Model]:
    for route in tables.routes.by_name.values():
        if key.may_ask(route.team_id):
            for adapter in ("", *sorted(route.active.adapters)):
                yield _model(route, adapter)
    for routed in tables.routing.by_name.values():
        if routed.may_ask(key):
            for adapter in ("", *adapters_of(routed, tables.routes)):
                yield _model(routed, adapter)


def model(tables: Tables, key: Key, name: str) -> Model:
    """One of them, or GatewayError 404."""
    way = find(tables, name)
    if way is not None and way[0].may_ask(key):
        routed, adapter = way
        known = adapters_of(routed, tables.routes) if adapter else []
        if adapter and adapter not in known:
            raise errors.no_adapter(routed.name, adapter, known)
        return _model(routed, adapter)
    found = tables.routes.find(name)
    if found is None or not key.may_ask(found[0].team_id):
        raise errors.model_not_found(name)
    return _model(*found)


def _model(route: Route | Routed, adapter: str = "") -> Model:
    return {
        "id": f"{route.name}:{adapter}" if adapter else route.name,
        "object": "model",
        "created": route.created,
        "owned_by": route.name.partition("/")[0],
    }
