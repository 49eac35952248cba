"""The record of requests that were answered twice, in batches from the gateway."""

from collections.abc import Sequence
from typing import Any

from models_app.deployments.models import Deployment, Revision
from models_app.routing.models import MirrorPair, Route


def mirror_pairs_store(rows: Sequence[dict[str, Any]]) -> int:
    """Store pairs in bulk; returns the count. A reference to what is gone becomes NULL."""
    fresh = [dict(row) for row in rows]
    references = {
        "route_id": Route,
        "revision_id": Revision,
        "mirror_deployment_id": Deployment,
        "mirror_revision_id": Revision,
    }
    for column, model in references.items():
        asked = {row[column] for row in fresh if row[column] is not None}
        there = set(model._base_manager.filter(pk__in=asked).values_list("pk", flat=True))
        for row in fresh:
            if row[column] not in there:
                row[column] = None
    MirrorPair.objects.bulk_create([MirrorPair(**row) for row in fresh])
    return len(fresh)
