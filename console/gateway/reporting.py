"""What this process tells the others: how much there is to do, and that a deployment must wake."""

import asyncio
import logging
import os
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import Error as DatabaseError
from django.db import connection

from console.gateway.routes import Routes
from console.gateway.seats import Seats
from models_app.deployments.load import Load, load_report
from models_app.deployments.services import deployment_wake

logger = logging.getLogger(__name__)
EVERY_S = 1.0
#: A deployment that sleeps is called again after so long, as long as somebody waits for it.
WAKE_AGAIN_S = 2.0


class Reporter:
    """A thread for what blocks, and the task that reports the load every second."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-reports")
        self._woken: dict[int, float] = {}

    async def run(self, seats: Seats) -> None:
        """Until cancelled. Says once more at its end that nothing runs here."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await loop.run_in_executor(
                    self._thread, load_report, self._name, self._loads(seats)
                )
                self._wake_again(seats)
                await asyncio.sleep(EVERY_S)
        finally:
            self._thread.submit(load_report, self._name, {})
            self._thread.shutdown(wait=False)

    def _loads(self, seats: Seats) -> dict[int, Load]:
        found = {}
        for route in self._routes.by_name.values():
            replicas = {r.id: r.outstanding for arm in route.arms for r in arm.replicas}
            found[route.deployment_id] = Load(
                running=sum(replicas.values()), waiting=seats.waiting(route), replicas=replicas
            )
        return found

    def _wake_again(self, seats: Seats) -> None:
        """It went to sleep just as the last request came, or the first call was lost."""
        for route in self._routes.by_name.values():
            if route.asleep and seats.waiting(route):
                self.wake(route.deployment_id)

    def wake(self, deployment_id: int) -> None:
        """Have the deployment woken, once for all who wait. Returns at once."""
        now = time.monotonic()
        if self._woken.get(deployment_id, 0.0) > now - WAKE_AGAIN_S:
            return
        self._woken = {k: at for k, at in self._woken.items() if at > now - WAKE_AGAIN_S}
        self._woken[deployment_id] = now
        self._thread.submit(_wake, deployment_id)


def _wake(deployment_id: int) -> None:
    try:
        deployment_wake(deployment_id=deployment_id)
    except DatabaseError as error:
        logger.warning("deployment %d could not be woken: %s", deployment_id, error)
    except Exception:
        logger.exception("deployment %d could not be woken", deployment_id)
    finally:
        connection.close()
