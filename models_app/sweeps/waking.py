"""A driver is woken when a trial is over or a sweep has changed, instead of at the next tick.

Only latency hangs on it: the clock's ticks look at every sweep anyway.
"""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerDown
from redis import RedisError

from models_app.registry.endings import training_endings
from models_app.registry.models import ModelVersion
from models_app.sweeps.models import Trial

logger = logging.getLogger(__name__)
#: Seconds after which a message is not worth reading: a tick was there by then.
EXPIRES = 10


def _training_ended(version: ModelVersion) -> None:
    """A trial's training is over: its sweep is looked at after the commit."""
    found = Trial.objects.filter(version=version).values_list("sweep_id", flat=True).first()
    if found is not None:
        wake_on_commit(found)


def wake_on_commit(sweep_id: int) -> None:
    """Some worker looks at the sweep as soon as the transaction has committed."""
    transaction.on_commit(lambda: _wake(sweep_id), robust=True)


def _wake(sweep_id: int) -> None:
    try:
        current_app.send_task("workers.search", kwargs={"sweep_id": sweep_id}, expires=EXPIRES)
    except (BrokerDown, RedisError, OSError) as error:
        logger.warning("nobody was woken for sweep %s: %s", sweep_id, error)


training_endings.append(_training_ended)
