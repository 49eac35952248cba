"""Which deployments need a round of reconciling, and how their replicas lie."""

from collections import defaultdict
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from models_app.deployments.holds import held_revisions
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.jobs.room import HEARD_WITHIN
from models_app.jobs.states import PLACED, TERMINAL
from models_app.pools.models import Node
from models_app.pools.states import NodeState
from models_app.registry.states import VersionState


def unsettled() -> QuerySet[Deployment]:
    """Deployments where a round could find something to do: none of them in quiet times."""
    live = Replica.objects.exclude(state=ReplicaState.STOPPED).filter(
        revision__deployment=OuterRef("pk")
    )
    active = Coalesce(OuterRef("active_revision_id"), 0)
    steady = live.exclude(state=ReplicaState.DRAINING).filter(revision_id=active)
    number = steady.order_by().values("revision__deployment").annotate(n=Count("pk")).values("n")
    rolling = Revision.objects.filter(deployment=OuterRef("pk"), state=RevisionState.ROLLING_OUT)
    barred = Q(revision__model_version__state=VersionState.QUARANTINED)
    in_service = Q(stopped_at__isnull=True, active_revision__isnull=False) & ~Q(
        active_revision__model_version__state=VersionState.QUARANTINED
    )
    named = Revision.objects.filter(deployment=OuterRef("pk"), pk__in=held_revisions())
    return Deployment.objects.annotate(steady=Coalesce(Subquery(number), 0)).filter(
        Exists(rolling)
        | Exists(named)
        | Exists(live.filter(~Q(revision_id=active) | barred))
        | Exists(live.filter(Q(state=ReplicaState.DRAINING) | Q(job__state__in=sorted(TERMINAL))))
        | Exists(live.filter(job__node_name__in=nodes_left(), job__state__in=sorted(PLACED)))
        | (Q(stopped_at__isnull=False) & Exists(live))
        | (in_service & ~Q(steady=Coalesce("scaled_to", "active_revision__replicas", 0)))
    )


def nodes_left() -> Any:
    """Names of nodes that others have to take over from: they are emptied, or silent.

    A node that has missed two signs of life counts as silent long before its jobs are taken from
    it: a replica that is started elsewhere in vain costs little, and one that is missing fails
    calls. Where no node that takes jobs is heard, it is we who do not hear.
    """
    silent = Q(last_seen_at__lt=Now() - HEARD_WITHIN)
    others = Node.objects.filter(~silent, state=NodeState.READY)
    return (
        Node.objects.filter(
            Q(state__in=(NodeState.DRAINING, NodeState.UNREACHABLE)) | (silent & Exists(others))
        )
        .exclude(state=NodeState.QUARANTINED)
        .values("name")
    )


def live_replicas(deployment: Deployment) -> list[Replica]:
    """Those that have not stopped, oldest first."""
    rows = Replica.objects.filter(revision__deployment=deployment)
    rows = rows.exclude(state=ReplicaState.STOPPED)
    return list(rows.select_related("revision__model_version", "job").order_by("pk"))


def by_revision(replicas: list[Replica]) -> dict[Revision, list[Replica]]:
    """Grouped by what they serve."""
    found: dict[Revision, list[Replica]] = defaultdict(list)
    for replica in replicas:
        found[replica.revision].append(replica)
    return found


def by_place(replicas: list[Replica]) -> tuple[list[Replica], list[Replica]]:
    """Those that stay, and those on nodes that are emptied or silent: others take over first."""
    # What waits for another attempt is no longer where it was.
    places = {r.pk: r.job.node_name for r in replicas if r.job and r.job.state in PLACED}
    left = set(nodes_left().filter(name__in=places.values()).values_list("name", flat=True))
    staying = [r for r in replicas if places.get(r.pk) not in left]
    return staying, [r for r in replicas if r not in staying]


def replicas_by_node(replica_id: int) -> dict[str, int]:
    """Node -> other replicas of the same revision that are placed there and are to stay.

    Those of other revisions do not count: what a roll-out replaces is gone when it is over, and
    whoever avoided it would stand together where it was not.
    """
    mine = Replica.objects.filter(pk=replica_id).values("revision_id")
    rows = Replica.objects.filter(revision__in=mine, job__state__in=sorted(PLACED)).exclude(
        Q(state__in=(ReplicaState.STOPPED, ReplicaState.DRAINING)) | Q(pk=replica_id)
    )
    names = rows.order_by().values_list("job__node_name").annotate(n=Count("pk"))
    return dict(names.values_list("job__node_name", "n"))
