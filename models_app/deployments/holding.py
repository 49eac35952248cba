"""Keeps revisions loaded that are named somewhere although another one serves.

They are kept warm by the same date as a way back; it is moved on for as long as they are named, and
their replicas are replaced where they are lost.
"""

import datetime as dt
from collections.abc import Callable

from models_app.core.clock import now
from models_app.deployments.holds import held_revisions
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.observation import by_place
from models_app.deployments.services.locking import announce
from models_app.deployments.services.replicas import replicas_add
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.registry.states import VersionState

#: How long they stay after nobody names them any more, and how often that date is moved.
HOLD = dt.timedelta(minutes=2)
MOVED_EVERY = dt.timedelta(minutes=1)
FORMER = (RevisionState.SUPERSEDED, RevisionState.ROLLED_BACK)
GONE = (ReplicaState.DRAINING, ReplicaState.STOPPED)


def keep_held(
    deployment: Deployment, live: list[Replica], too_soon: Callable[[Revision], bool]
) -> None:
    """Under the deployment's lock: one round for the revisions of it that are named and were served
    before. `too_soon` says whether a failed replica may not be replaced yet.
    """
    if deployment.stopped_at:
        return
    named = deployment.revisions.filter(pk__in=held_revisions(deployment.pk), state__in=FORMER)
    for revision in named.select_related("model_version", "config_revision"):
        if revision.model_version.state == VersionState.QUARANTINED:
            continue
        own = [r for r in live if r.revision_id == revision.pk]
        _move_on(revision, own)
        # Those on nodes that are being emptied leave by themselves; others take over.
        staying = by_place([r for r in own if r.state not in GONE])[0]
        missing = revision.replicas - len(staying)
        if missing > 0 and not too_soon(revision):
            revision.deployment = deployment
            replicas_add(deployment, revision, missing)
            announce(deployment)


def _move_on(revision: Revision, own: list[Replica]) -> None:
    until = now() + HOLD
    if revision.keep_until is None or until - revision.keep_until > MOVED_EVERY:
        Revision.objects.filter(pk=revision.pk).update(keep_until=until)
        for replica in own:
            replica.revision.keep_until = until
