"""The lock under which a deployment changes, and how its changes are told.

Everything that moves revisions or `active_revision` holds this lock first. Order of locks:
deployment, approval request, job, replica.
"""

import logging
from functools import partial
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerDown
from redis import RedisError

from models_app.deployments.models import Deployment
from models_app.events.publish import publish_on_commit

logger = logging.getLogger(__name__)


def deployment_locked(pk: int, *, skip: bool = False) -> Deployment | None:
    """The locked row. `skip`: None where somebody else holds it just now.

    FOR NO KEY UPDATE, so that request records, which refer to the row, are never held up.
    """
    rows = Deployment.objects.select_for_update(no_key=True, skip_locked=skip, of=("self",))
    found = rows.select_related("team", "environment", "active_revision__config_revision__config")
    return found.filter(pk=pk).first()


def locked(deployment: Deployment) -> Deployment:
    """The locked row of a deployment that is known to exist."""
    row = deployment_locked(deployment.pk)
    assert row is not None
    return row


def announce(deployment: Deployment, *, routes: bool = False) -> None:
    """Tell pages after commit, and the gateway too where its table changes."""
    topics = [f"deployment.{deployment.pk}", f"team.{deployment.team_id}"]
    publish_on_commit("deployment.changed", {"id": deployment.pk}, *topics)
    if routes:
        publish_on_commit("routes.changed", {"deployment": deployment.pk}, "gateway")


def reconcile_soon() -> None:
    """Wake a worker after commit; if that is lost, the next tick comes within two seconds."""
    transaction.on_commit(partial(_wake, "workers.reconcile"), robust=True)


def golden_soon() -> None:
    """The same for stored answers that are to be replayed."""
    transaction.on_commit(partial(_wake, "workers.golden", at_once=True), robust=True)


def _wake(task: str, **words: Any) -> None:
    try:
        current_app.send_task(task, kwargs=words, queue="control", expires=10)
    except (BrokerDown, RedisError, OSError) as error:
        logger.warning("%s not requested: %s", task, error)
