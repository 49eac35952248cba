"""Keeps what a running child reads up to date: asks its kind again and again.

Beside the lease, never in it: laying files out may take longer than a lease lasts.
"""

import logging
import threading
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, connections

from models_app.core.errors import SlipwayError

logger = logging.getLogger(__name__)


class Refresher(threading.Thread):
    """Does `refresh` at every sign of life and whenever told to look, until closed."""

    def __init__(self, name: str, refresh: Callable[[], None]) -> None:
        super().__init__(name=f"refresh-{name}", daemon=True)
        self.refresh = refresh
        self._wake = threading.Event()
        self._closed = False

    def run(self) -> None:
        while not self._closed:
            self._wake.wait(settings.JOB_HEARTBEAT_S)
            self._wake.clear()
            if not self._closed:
                self._once()

    def look(self) -> None:
        """Something has changed: ask now."""
        self._wake.set()

    def close(self) -> None:
        """The child is gone."""
        self._closed = True
        self._wake.set()

    def _once(self) -> None:
        """What fails is tried again at the next sign of life; the child goes on as it is."""
        try:
            self.refresh()
        except (DatabaseError, SlipwayError, OSError) as error:
            logger.warning("%s: %s", self.name, error)
        except Exception:
            logger.exception("%s", self.name)
        finally:
            connections.close_all()
