"""The states of a job.

    created ─▶ pending ─place─▶ scheduled ─claim (node)─▶ running ─finish─▶ succeeded
                ▲ ▲ ▲  └ cancel (user) ─▶ canceled ◀┐        │ ├─fail─────▶ failed
                │ │ │                               │        │ ├─time out─▶ timed_out
                │ │ └─ never claimed (sweeper) ─────┤        │ └─cancel─▶ canceling ─▶ canceled
                │ ├──── recovering ◀─ lost or failed attempt ┤
                │ ├──── preempting ◀─ an urgent job, a drain ┤
                │ └──── paused ◀─ pausing ◀─── pause (user) ─┘

`scheduled` holds a place on one node; the node then claims the job, which raises its epoch. A job
that waits for a human is `awaiting_approval`. `paused`, and `pending` by way of `preempting`, are
reached when the attempt has saved what it can and given the job back. Terminal states have no way
out: "run again" makes a new job with `rerun_of`.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobState(models.TextChoices):
    CREATED = "created", _("Created")
    AWAITING_APPROVAL = "awaiting_approval", _("Waiting for approval")
    PENDING = "pending", _("Queued")
    SCHEDULED = "scheduled", _("Starting")
    RUNNING = "running", _("Running")
    PAUSING = "pausing", _("Pausing")
    PREEMPTING = "preempting", _("Making room")
    CANCELING = "canceling", _("Stopping")
    RECOVERING = "recovering", _("Recovering")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    TIMED_OUT = "timed_out", _("Timed out")
    CANCELED = "canceled", _("Cancelled")


S = JobState
ALLOWED: dict[str, set[str]] = {
    S.CREATED: {S.AWAITING_APPROVAL, S.PENDING, S.FAILED},
    S.AWAITING_APPROVAL: {S.PENDING, S.CANCELED},
    S.PENDING: {S.SCHEDULED, S.PAUSED, S.CANCELED, S.FAILED},
    S.SCHEDULED: {S.RUNNING, S.PENDING, S.PAUSED, S.CANCELED},
    S.RUNNING: {
        S.SUCCEEDED,
        S.FAILED,
        S.TIMED_OUT,
        S.RECOVERING,
        S.CANCELING,
        S.PAUSING,
        S.PREEMPTING,
    },
    # It may end, die or be cancelled before it has saved and given the job back.
    S.PAUSING: {
        S.PAUSED,
        S.SUCCEEDED,
        S.FAILED,
        S.TIMED_OUT,
        S.RECOVERING,
        S.CANCELING,
    },
    S.PREEMPTING: {
        S.PENDING,
        S.SUCCEEDED,
        S.FAILED,
        S.TIMED_OUT,
        S.RECOVERING,
        S.CANCELING,
    },
    S.CANCELING: {S.CANCELED, S.SUCCEEDED, S.FAILED},
    S.RECOVERING: {S.PENDING, S.PAUSED, S.FAILED, S.CANCELED},
    S.PAUSED: {S.PENDING, S.CANCELED},
    S.SUCCEEDED: set(),
    S.FAILED: set(),
    S.TIMED_OUT: set(),
    S.CANCELED: set(),
}
TERMINAL = {state for state, ways in ALLOWED.items() if not ways}
#: A worker holds the job: it has a lease.
HELD = {S.RUNNING, S.CANCELING, S.PAUSING, S.PREEMPTING}
#: It takes room on a node.
PLACED = HELD | {S.SCHEDULED}
#: Work that is not over.
OPEN = set(ALLOWED) - TERMINAL


class ReasonCode(models.TextChoices):
    """Why a job or an attempt ended otherwise than well."""

    USER_CODE = "user_code", _("The job's own code failed")
    CONFIG_INVALID = "config_invalid", _("The configuration is not valid")
    DIVERGED = "diverged", _("The loss became infinite or not a number")
    OOM = "oom", _("Out of memory")
    DISK_FULL = "disk_full", _("The disk is full")
    PIDS = "pids", _("Too many processes")
    KILLED = "killed", _("Killed by a signal")
    NODE_LOST = "node_lost", _("The node stopped answering")
    LEASE_EXPIRED = "lease_expired", _("The worker stopped answering")
    INTEGRITY = "integrity", _("Stored data is damaged")
    INPUT_CHANGED = "input_changed", _("What it reads has changed")
    TIMEOUT = "timeout", _("It took too long")
    CANCELED_BY = "canceled_by", _("Cancelled")
    STOPPED_EARLY = "stopped_early", _("Stopped early by its sweep")
    PREEMPTED = "preempted", _("Gave way to a more urgent job")
    DRAINED = "drained", _("Its node was emptied")
    DEVICE_LOST = "device_lost", _("A device failed")
    SOURCE_AWAY = "source_away", _("What it reads from does not answer")
    POISON = "poison", _("It fails at the same place again and again")
    UNSCHEDULABLE = "unschedulable", _("No node can run it")
    RETRIES_EXHAUSTED = "retries_exhausted", _("Too many attempts")


#: Trying again elsewhere or later can help.
RETRYABLE = {
    ReasonCode.NODE_LOST,
    ReasonCode.LEASE_EXPIRED,
    ReasonCode.KILLED,
    ReasonCode.DISK_FULL,
    ReasonCode.DEVICE_LOST,
    ReasonCode.SOURCE_AWAY,
}
