"""Asks model servers for golden answers, in a thread of its own: the clock does not wait for it."""

import logging
import threading

from django.db import OperationalError, connections

from models_app.deployments.golden import golden_round

logger = logging.getLogger(__name__)

_busy = threading.Lock()
_again = threading.Event()


def prove() -> None:
    """Begin a round, unless one is under way in this process; that one then looks once more."""
    _again.set()
    if not _busy.locked():
        threading.Thread(target=_work, name="golden", daemon=True).start()


def _work() -> None:
    if not _busy.acquire(blocking=False):
        return
    try:
        while _again.is_set():
            _again.clear()
            golden_round()
    except OperationalError as error:
        logger.warning("database not reachable: %s", error)
    except Exception:
        logger.exception("golden answers")
    finally:
        _busy.release()
        connections.close_all()
