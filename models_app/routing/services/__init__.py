"""What is done to routes: made, revised, rolled back, removed; and what mirrors brought."""

from models_app.routing.services.pairs import mirror_pairs_store
from models_app.routing.services.routes import (
    route_create,
    route_remove,
    route_revise,
    route_roll_back,
)

__all__ = [
    "mirror_pairs_store",
    "route_create",
    "route_remove",
    "route_revise",
    "route_roll_back",
]
