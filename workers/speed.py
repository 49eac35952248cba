"""How fast this node computes: measured once in a process of its own, kept in a file, reported.

`<data>/run/speed/<key>.json`, where the key names processor, GPUs, torch and number of cores: with
another of these it is measured anew. Jobs may read the file, see `workers.lm.compute.speed`.
"""

import datetime as dt
import fcntl
import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections

from models_app.pools.services.registration import node_measured
from workers.capacity import capacity, processor_name
from workers.lm.compute.speed import read_speed
from workers.process import child_environment

logger = logging.getLogger(__name__)

#: Seconds between looks at whether the node is idle, and how long a busy machine is waited for.
LOOK_S, PATIENCE_S = 15.0, 120.0
#: A measurement that takes longer is given up.
LIMIT_S = 300.0
MODULE = "workers.lm.compute.measuring"


def speed_file(has: dict[str, Any]) -> Path:
    """Where the measurement of a machine with this capacity is kept."""
    same = [
        processor_name(),
        has["cpus"],
        has["packages"].get("torch", ""),
        has["packages"].get("transformers", ""),
        [gpu["name"] for gpu in has["gpus"]],
    ]
    key = hashlib.sha256(json.dumps(same).encode()).hexdigest()[:24]
    return Path(settings.DATA_DIR) / "run" / "speed" / f"{key}.json"


def speed_known(has: dict[str, Any]) -> dict[str, Any]:
    """The measurement of this machine, or nothing."""
    return read_speed(speed_file(has)) or {}


class SpeedMeter(threading.Thread):
    """Waits until the node is idle, measures if nobody has, and reports. Holds nothing up."""

    def __init__(
        self, name: str, incarnation: str, stopping: threading.Event, busy: Callable[[], bool]
    ) -> None:
        super().__init__(name="speed", daemon=True)
        self.node, self.incarnation, self.stopping, self._busy = name, incarnation, stopping, busy

    def run(self) -> None:
        has = capacity()
        if not has["packages"].get("torch") or speed_known(has):
            return  # what is known was reported when the node registered
        try:
            if self._wait(has["cpus"]) and measure(has, self.stopping):
                self._report(speed_known(has))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            logger.warning("the node's speed could not be measured: %s", error)
        finally:
            connections.close_all()

    def _wait(self, cores: int) -> bool:
        """Until no attempt runs here and the machine is quiet; False: the worker ends."""
        waited = 0.0
        while not self.stopping.wait(LOOK_S):
            waited += LOOK_S
            quiet = os.getloadavg()[0] < max(1.0, cores / 2) or waited > PATIENCE_S
            if quiet and not self._busy():
                return True
        return False

    def _report(self, speed: dict[str, Any]) -> None:
        while not self.stopping.is_set():
            try:
                node_measured(name=self.node, incarnation=self.incarnation, speed=speed)
                return
            except DatabaseError:
                connections.close_all()
                self.stopping.wait(LOOK_S)


def measure(has: dict[str, Any], stopping: threading.Event) -> bool:
    """Measure this machine and keep what was found. One worker of a machine measures at a time."""
    path = speed_file(has)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read_speed(path):
            return True
        devices = range(len(has["gpus"]))
        found = _ask(["--cores", str(has["cpus"])], devices, stopping)
        if found is None:
            return False
        found |= {
            "processor": processor_name(),
            "torch": has["packages"]["torch"],
            "load": round(os.getloadavg()[0], 2),
            "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        try:
            found |= _ask(["--compile"], devices, stopping) or {}
        except (subprocess.SubprocessError, ValueError) as error:
            logger.info("compiling was not measured: %s", error)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found))
        temporary.replace(path)
    return True


def _ask(arguments: list[str], devices: range, stopping: threading.Event) -> dict[str, Any] | None:
    """What the measuring process prints; None if the worker ended meanwhile.

    Raises SubprocessError where it fails or takes too long.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, *arguments],
        cwd=settings.BASE_DIR, env=child_environment(list(devices)), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    waited = 0.0
    try:
        while process.poll() is None:
            if stopping.wait(0.5):
                return None
            waited += 0.5
            if waited > LIMIT_S:
                raise subprocess.TimeoutExpired(MODULE, LIMIT_S)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, MODULE)
        assert process.stdout is not None
        found: dict[str, Any] = json.loads(process.stdout.read())
        return found
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait()
