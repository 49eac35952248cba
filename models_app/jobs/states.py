"""The states of a job.

    created ──submit──▶ pending ──claim (worker)──▶ running ──finish (worker)──▶ succeeded
                          ▲  │                        │ ├──fail (worker)───────▶ failed
                          │  └──cancel (user)──▶      │ ├──time out (worker)───▶ timed_out
                          │                canceled ◀─┤ └──cancel (user)──▶ canceling ──▶ canceled
                          └──recover (sweeper)── recovering ◀── lease expired (sweeper)

A job that waits for a human is `awaiting_approval`; `paused` and `preempting` are reached through a
verified checkpoint. Terminal states have no way out: "run again" makes a new job with `rerun_of`.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobState(models.TextChoices):
    CREATED = "created", _("Created")
    AWAITING_APPROVAL = "awaiting_approval", _("Waiting for approval")
    PENDING = "pending", _("Queued")
    RUNNING = "running", _("Running")
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
    S.PENDING: {S.RUNNING, S.CANCELED, S.FAILED},
    S.RUNNING: {S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.RECOVERING, S.CANCELING},
    S.CANCELING: {S.CANCELED, S.SUCCEEDED, S.FAILED},
    S.RECOVERING: {S.PENDING, S.FAILED, S.CANCELED},
    S.PAUSED: {S.PENDING, S.CANCELED},
    S.SUCCEEDED: set(),
    S.FAILED: set(),
    S.TIMED_OUT: set(),
    S.CANCELED: set(),
}
TERMINAL = {state for state, ways in ALLOWED.items() if not ways}
#: A worker holds the job: it has a lease.
HELD = {S.RUNNING, S.CANCELING}
#: Work that is not over.
OPEN = set(ALLOWED) - TERMINAL


class ReasonCode(models.TextChoices):
    """Why a job or an attempt ended otherwise than well."""

    USER_CODE = "user_code", _("The job's own code failed")
    CONFIG_INVALID = "config_invalid", _("The configuration is not valid")
    DIVERGED = "diverged", _("The loss became infinite or not a number")
    OOM = "oom", _("Out of memory")
    DISK_FULL = "disk_full", _("The disk is full")
    KILLED = "killed", _("Killed by a signal")
    NODE_LOST = "node_lost", _("The node stopped answering")
    LEASE_EXPIRED = "lease_expired", _("The worker stopped answering")
    INTEGRITY = "integrity", _("Stored data is damaged")
    TIMEOUT = "timeout", _("It took too long")
    CANCELED_BY = "canceled_by", _("Cancelled")
    RETRIES_EXHAUSTED = "retries_exhausted", _("Too many attempts")


#: Trying again elsewhere or later can help.
RETRYABLE = {
    ReasonCode.NODE_LOST,
    ReasonCode.LEASE_EXPIRED,
    ReasonCode.KILLED,
    ReasonCode.DISK_FULL,
}
