"""Keeps one attempt alive: renews its lease, feeds the watchdog, notices wishes and fences."""

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, connections

from models_app.core.errors import StaleEpoch
from models_app.jobs.models import Job
from models_app.jobs.states import JobState

logger = logging.getLogger(__name__)

#: Share of the lease after which we give up by ourselves, before anybody else may take the job.
SELF_FENCE = 0.8


class Lease(threading.Thread):
    """A thread that renews until closed. `lost` is set when this attempt may write no more.

    `renew` gives the state of the job, or raises StaleEpoch; `beat` follows each time it does not.
    """

    def __init__(self, job: Job, beat: Callable[[], None], renew: Callable[[], str]) -> None:
        super().__init__(name=f"lease-{job.pk}", daemon=True)
        self.job, self.beat, self.renew = job, beat, renew
        self.lost = threading.Event()
        #: State of the row when it was last seen; anything but `running` asks the child to stop.
        self.state: str = JobState.RUNNING
        self._wake = threading.Event()
        self._closed = False
        self._renewed_at = time.monotonic()

    def run(self) -> None:
        while not self._closed:
            self._wake.wait(settings.JOB_HEARTBEAT_S)
            self._wake.clear()
            if self._closed:
                return
            self._renew()
            if self.lost.is_set():
                return
            self.beat()

    def look(self) -> None:
        """The row has changed: look at it now instead of at the next heartbeat."""
        self._wake.set()

    def close(self) -> None:
        """The attempt has ended."""
        self._closed = True
        self._wake.set()

    def _renew(self) -> None:
        begun = time.monotonic()
        try:
            self.state = self.renew()
            self._renewed_at = begun
        except StaleEpoch:
            if not self._closed:
                self.lost.set()
        except DatabaseError as error:
            # A database that is away looks like our own partition: go on only while nobody else
            # can have taken the job.
            logger.warning("lease of job %s not renewed: %s", self.job.pk, error)
            if time.monotonic() - self._renewed_at > settings.JOB_LEASE_S * SELF_FENCE:
                self.lost.set()
        finally:
            connections.close_all()
