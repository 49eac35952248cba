"""How long a replica takes until it answers: measured with this version, else by its size."""

import statistics
from dataclasses import dataclass

from models_app.deployments.models import Replica
from models_app.registry.models import ModelVersion

#: So many of the last starts are looked at.
STARTS = 5
#: Where nothing was measured: the process, and weights from a disk of middling speed.
PROCESS_S = 6.0
BYTES_PER_S = 150 << 20


@dataclass(frozen=True, kw_only=True)
class LoadingTime:
    """Seconds from its order to its first token; `measured` with this very version, or guessed."""

    seconds: float
    measured: bool


def loading_time(version: ModelVersion) -> LoadingTime:
    """The median of the last starts that went well at once."""
    rows = Replica.objects.filter(
        revision__model_version=version, ready_at__isnull=False, restarts=0
    )
    spans = [
        (ready - created).total_seconds()
        for ready, created in rows.order_by("-pk").values_list("ready_at", "created_at")[:STARTS]
        if ready is not None
    ]
    if spans:
        return LoadingTime(seconds=round(statistics.median(spans), 1), measured=True)
    return LoadingTime(
        seconds=round(PROCESS_S + version.size_bytes / BYTES_PER_S, 1), measured=False
    )
