"""Wakes a deployment that sleeps: it had no replica, and somebody asks it."""

from django.db import transaction

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.deployments.models import Deployment, ScalingEvent
from models_app.deployments.services.locking import announce, deployment_locked, reconcile_soon
from models_app.deployments.wanted import scaling_of


@transaction.atomic
def deployment_wake(*, deployment_id: int) -> bool:
    """Ask for the replicas that a request needs. False: it does not sleep, or cannot be woken.

    Any number of gateways may ask at once: the first one wakes it.
    """
    if not _asleep(deployment_id):
        return False
    row = deployment_locked(deployment_id)
    if row is None or row.scaled_to != 0 or row.stopped_at or row.active_revision is None:
        return False
    number = max(1, scaling_of(row.active_revision).min_replicas)
    Deployment.objects.filter(pk=row.pk).update(scaled_to=number, calm_since=None, over_since=None)
    ScalingEvent.objects.create(deployment=row, before=0, after=number, cause="wake")
    audit_record(
        actor=SYSTEM,
        action="deployment.scaled",
        obj=row,
        changes={"before": 0, "after": number, "cause": "wake"},
    )
    announce(row, routes=True)
    reconcile_soon()
    return True


def _asleep(deployment_id: int) -> bool:
    """Without the lock: most who ask come after somebody else."""
    rows = Deployment.objects.filter(pk=deployment_id, scaled_to=0, stopped_at=None)
    return rows.exists()
