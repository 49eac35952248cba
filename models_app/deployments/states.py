"""The states of deployment revisions and of replicas.

Revision:
    draft ──▶ pending_approval ──▶ approved ──▶ rolling_out ──all replicas ready──▶ active
      └──(environment not protected)──▶ approved      │                             │
    pending_approval ──▶ rejected | stale | withdrawn  └──no replica gets ready──▶ failed
    active ──newer one active──▶ superseded;  active ──roll-back──▶ rolled_back
    superseded | rolled_back ──roll-back to it──▶ rolling_out  (its approval still stands)
    rolling_out ──the roll-back fails or is aborted──▶ superseded | rolled_back, as before
    rolling_out ──aborted──▶ withdrawn;  rolling_out | approved ──approval ends──▶ stale
    failed ──tried again──▶ rolling_out  (its approval still stands)

Who moves them: services on behalf of people and votes; `reconcile` moves rolling_out to active or
failed, and nothing else in the product sets `active_revision`.

Replica (one serve job each):
    pending ──job claimed──▶ loading ──one real token──▶ ready ──▶ draining ──▶ stopped
    loading | ready ──job lost its attempt──▶ crashed ──job claimed again──▶ loading

Roll-out:
    running ⇄ paused (people);  running | paused ──last step──▶ succeeded
    running | paused ──aborted by people──▶ aborted;  ──figures too bad──▶ rolled_back
    running | paused ──no replica gets ready, approval ends──▶ failed
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class RevisionState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    PENDING_APPROVAL = "pending_approval", _("Waiting for approval")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    STALE = "stale", _("Stale")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    ROLLING_OUT = "rolling_out", _("Rolling out")
    ACTIVE = "active", _("Active")
    SUPERSEDED = "superseded", _("Superseded")
    ROLLED_BACK = "rolled_back", _("Rolled back")
    FAILED = "failed", _("Failed")


S = RevisionState
ALLOWED: dict[str, set[str]] = {
    S.DRAFT: {S.PENDING_APPROVAL, S.APPROVED, S.WITHDRAWN},
    S.PENDING_APPROVAL: {S.APPROVED, S.REJECTED, S.STALE, S.WITHDRAWN},
    S.APPROVED: {S.ROLLING_OUT, S.STALE, S.WITHDRAWN},
    S.REJECTED: set(),
    S.STALE: set(),
    S.WITHDRAWN: set(),
    S.ROLLING_OUT: {S.ACTIVE, S.FAILED, S.WITHDRAWN, S.STALE, S.SUPERSEDED, S.ROLLED_BACK},
    S.ACTIVE: {S.SUPERSEDED, S.ROLLED_BACK},
    S.SUPERSEDED: {S.ROLLING_OUT},
    S.ROLLED_BACK: {S.ROLLING_OUT},
    S.FAILED: {S.ROLLING_OUT, S.STALE},
}


class ReplicaState(models.TextChoices):
    PENDING = "pending", _("Queued")
    LOADING = "loading", _("Loading")
    READY = "ready", _("Ready")
    DRAINING = "draining", _("Draining")
    STOPPED = "stopped", _("Stopped")
    CRASHED = "crashed", _("Crashed")


R = ReplicaState
REPLICA_ALLOWED: dict[str, set[str]] = {
    R.PENDING: {R.LOADING, R.STOPPED, R.CRASHED, R.DRAINING},
    R.LOADING: {R.READY, R.CRASHED, R.STOPPED, R.DRAINING},
    R.READY: {R.DRAINING, R.CRASHED, R.STOPPED},
    R.CRASHED: {R.PENDING, R.LOADING, R.STOPPED, R.DRAINING},
    R.DRAINING: {R.STOPPED, R.CRASHED},
    R.STOPPED: set(),
}


class RolloutState(models.TextChoices):
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Succeeded")
    ABORTED = "aborted", _("Aborted")
    ROLLED_BACK = "rolled_back", _("Rolled back")
    FAILED = "failed", _("Failed")


O = RolloutState  # noqa: E741
ROLLOUT_LIVE = (O.RUNNING, O.PAUSED)
_ENDS = {O.SUCCEEDED, O.ABORTED, O.ROLLED_BACK, O.FAILED}
ROLLOUT_ALLOWED: dict[str, set[str]] = {
    O.RUNNING: {O.PAUSED, *_ENDS},
    O.PAUSED: {O.RUNNING, *_ENDS},
    O.SUCCEEDED: set(),
    O.ABORTED: set(),
    O.ROLLED_BACK: set(),
    O.FAILED: set(),
}


class Golden(models.TextChoices):
    """What the stored answers say of a way back; requests move only without a reason not to."""

    NONE = "none", _("No stored answers")
    DUE = "due", _("To be replayed")
    EQUAL = "equal", _("The same answers")
    DIFFERENT = "different", _("Other answers")
    FORCED = "forced", _("Other answers, let through by hand")


GOLDEN_PASSED = (Golden.NONE, Golden.EQUAL, Golden.FORCED)
