"""Attempts at jobs that run on several nodes: the one that leads, and the other parts.

Part 0 binds the socket at which all meet before its process begins, and writes its address into its
row; the others wait for it there, fetch the newest checkpoint and begin. An end of any part is the
end of the attempt: it is told to the job as that of an attempt on one node would be, and the fence
of the job's epoch ends the rest.
"""

import secrets
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from models_app.core.errors import StaleEpoch
from models_app.jobs.attempts import job_fail, job_release
from models_app.jobs.checkpoints import checkpoint_folder
from models_app.jobs.failures import OUTSIDE
from models_app.jobs.gangs import (
    meeting_get,
    meeting_set,
    nodes_of,
    part_end,
    part_renew,
    part_started,
)
from models_app.jobs.inputs import job_load
from models_app.jobs.kind import JobFailed
from models_app.jobs.models import Job, JobPart
from models_app.jobs.states import JobState, ReasonCode
from workers.attempt import SETTLE_S, Attempt
from workers.checkpoints import newest_unsent, restore
from workers.isolation.processes import boot_id

#: Between two looks for the address at which all meet.
LOOK_S = 0.2
#: Names the network that this process sees.
NETWORK = Path("/proc/self/ns/net")
#: Connections that may wait to be taken, until rank 0 takes them.
BACKLOG = 1024


def attempt_of(
    job: Job, part: JobPart | None, *, stopping: threading.Event, devices: Sequence[int] = ()
) -> Attempt:
    """The attempt that this node is to supervise: at the job, or at one part of it."""
    if part is not None:
        return Follower(job, part, stopping=stopping, devices=devices)
    kind = Leader if job.nodes > 1 else Attempt
    return kind(job, stopping=stopping, devices=devices)


class Leader(Attempt):
    """Part 0: an attempt like any other, at whose node the others meet."""

    def _greeting(self) -> str:
        return f"Attempt {self.job.epoch} starts on {', '.join(nodes_of(self.job))}."

    def _load(self) -> dict[str, Any]:
        inputs = super()._load()
        # Where the other parts are, this disk may not be seen.
        newest = newest_unsent(self.job)
        if newest is not None:
            place = checkpoint_folder(self.job.pk) / newest.name
            self.sender.offer(newest.step, str(place), newest.epoch)
            self.sender.settle(SETTLE_S)
        self._listener = _listening(settings.NODE_ADDRESS)
        self._where = {
            "host": settings.NODE_ADDRESS,
            "port": self._listener.getsockname()[1],
            "token": secrets.token_urlsafe(24),
        }
        meeting_set(job=self.job, meeting={**self._where, "machine": machine()})
        return inputs

    def _start(self, inputs: dict[str, Any]) -> None:
        with self._listener as listener:
            meeting = _meeting(self.job, 0, self._where) | {"listener": listener.fileno()}
            job_file = {**self._job_file(inputs), "meeting": meeting}
            self.process.start(job_file, keep=[listener.fileno()])

    def _conclude(self) -> None:
        self._patiently(lambda: self.shipper.drain())
        outcome = self.shipper.outcome or {}
        if outcome.get("kind") == "stopped" and not self.why_stopped:
            self.why_stopped = "request"  # all stop together, and it was another that was asked
        super()._conclude()


class Follower(Attempt):
    """Any other part. It ships its log and figures; that all is well is for part 0 to tell."""

    def __init__(self, job: Job, part: JobPart, **options: Any) -> None:
        job.node_name, job.epoch = part.node_name, part.epoch
        self.row = part
        super().__init__(job, **options, part=part.number)

    def _renew(self) -> str:
        return part_renew(part=self.row)

    def _greeting(self) -> str:
        which = f"part {self.row.number + 1} of {self.job.nodes}"
        return f"Attempt {self.job.epoch} starts on {self.job.node_name}, {which}."

    def _load(self) -> dict[str, Any]:
        folder = self.folder / "inputs"
        inputs = job_load(kind=self.kind, params=self.params, job=self.job, folder=folder)
        self._where = self._met()
        # Only now is the newest checkpoint where all nodes can have it.
        restore(self.job, self.shipper.say)
        return inputs

    def _met(self) -> dict[str, Any]:
        """Wait for the address that part 0 gives, as long as it takes it."""
        while not (meeting := meeting_get(part=self.row)):
            connections.close_all()
            if self.lease.lost.wait(LOOK_S):
                raise StaleEpoch
            if self._is_leaving():
                raise JobFailed("It was asked to stop before it began.", permanent=False)
        _check_reach(meeting, settings.NODE_ADDRESS)
        return meeting

    def _start(self, inputs: dict[str, Any]) -> None:
        meeting = _meeting(self.job, self.row.number, self._where)
        self.process.start({**self._job_file(inputs), "meeting": meeting})

    def _started(self) -> None:
        part_started(part=self.row, pid=self.process.pid)

    def _conclude(self) -> None:
        self._patiently(lambda: self.shipper.drain())
        outcome = self.shipper.outcome or {"kind": "died"}
        if outcome["kind"] in ("result", "stopped") or self.lease.state != JobState.RUNNING:
            self._patiently(lambda: part_end(part=self.row))
        elif self._breached(outcome):
            return
        elif self.why_stopped == "timeout":
            text = f"It took longer than its limit of {self.job.timeout_s} s."
            self._fail(ReasonCode.TIMEOUT, text, permanent=True)
        elif outcome["kind"] == "failed":
            self._fail(outcome["reason"], outcome["message"], permanent=outcome["permanent"])
        elif self.why_stopped == "node":
            text = f"The worker on {self.job.node_name} was shut down; the job goes on elsewhere."
            self._patiently(lambda: job_release(job=self.job, message=text, attempt={}))
        else:
            outside = self.process.exit_signal in OUTSIDE
            self._fail(ReasonCode.KILLED, self._death(), permanent=False, from_outside=outside)

    def _fail(
        self, reason: str, message: str, *, permanent: bool, from_outside: bool = False
    ) -> None:
        self._patiently(
            lambda: job_fail(
                job=self.job,
                code=reason,
                message=f"On {self.job.node_name}: {message}",
                permanent=permanent,
                attempt={k: v for k, v in self._facts().items() if k != "isolation"},
                node=self.job.node_name,
                from_outside=from_outside,
            )
        )


def _meeting(job: Job, number: int, where: dict[str, Any]) -> dict[str, Any]:
    """What the process of a part is told: see `gang_of_nodes`."""
    known = {name: where[name] for name in ("host", "port", "token")}
    return {**known, "number": number, "nodes": job.nodes, "own": settings.NODE_ADDRESS}


def _listening(host: str) -> socket.socket:
    """A socket of its own for each attempt, at the address that the other nodes reach."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, 0), family=family, backlog=BACKLOG)
    except OSError as error:
        raise JobFailed(
            f"{host}, by which other nodes shall reach this one, is no address of it: {error}. "
            "Set SLIPWAY_NODE_ADDRESS on it to one.",
            reason=ReasonCode.CONFIG_INVALID,
        ) from error


def machine() -> str:
    """Tells this machine from others, and its network from those of containers on it."""
    return f"{boot_id()} {NETWORK.readlink()}"


def _check_reach(meeting: dict[str, Any], own: str) -> None:
    """Refuse an address that means "this machine" where there are two of them."""
    if meeting["machine"] == machine():
        return
    for address, whose in ((meeting["host"], "the node of part 1"), (own, "this node")):
        if _is_loopback(address):
            raise JobFailed(
                f"{whose} gives {address} as its address, which no other machine reaches. Set "
                "SLIPWAY_NODE_ADDRESS there to its address in the network of the nodes.",
                reason=ReasonCode.CONFIG_INVALID,
            )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
