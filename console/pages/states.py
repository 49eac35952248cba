"""How each state looks: tone, icon and word, for every state machine of the product.

The tone is a hue (neutral at rest, cyan getting ready, blue in motion, violet waits for a person,
amber look at it, green good, red broken); icon and word carry the meaning without colour.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Look:
    """What a badge shows; `live` makes the icon breathe because something is in motion."""

    tone: str
    icon: str
    label: str | Promise
    live: bool = False


JOB = {
    "created": Look("neutral", "circle-dashed", _("Created")),
    "awaiting_approval": Look("violet", "hourglass", _("Waiting for approval")),
    "pending": Look("neutral", "clock", _("Queued")),
    "scheduled": Look("cyan", "calendar-time", _("Starting"), live=True),
    "running": Look("blue", "player-play.filled", _("Running"), live=True),
    "pausing": Look("amber", "player-pause", _("Pausing"), live=True),
    "paused": Look("neutral", "player-pause", _("Paused")),
    "preempting": Look("amber", "player-track-next", _("Making room"), live=True),
    "recovering": Look("amber", "refresh", _("Recovering"), live=True),
    "canceling": Look("amber", "player-stop", _("Stopping"), live=True),
    "succeeded": Look("green", "circle-check", _("Succeeded")),
    "failed": Look("red", "circle-x", _("Failed")),
    "canceled": Look("neutral", "ban", _("Cancelled")),
    "timed_out": Look("red", "clock-cancel", _("Timed out")),
}
VERSION = {
    "pending": Look("cyan", "loader", _("Being prepared"), live=True),
    "ready": Look("green", "circle-check", _("Ready")),
    "failed": Look("red", "circle-x", _("Failed")),
    "quarantined": Look("red", "shield-x", _("Quarantined")),
    # Not a state of its own: pending, and nothing brings its files.
    "awaited": Look("amber", "hourglass", _("Without files")),
    # Nor are these: failed, for its training was stopped and not because it went wrong.
    "stopped_early": Look("neutral", "player-stop", _("Stopped by its sweep")),
    "canceled": Look("neutral", "ban", _("Cancelled")),
}
QUALITY = {
    "unchecked": Look("neutral", "circle-dashed", _("Not checked")),
    "passed": Look("green", "shield-check", _("Passed")),
    "blocked": Look("red", "shield-x", _("Blocked")),
    "waived": Look("amber", "alert-triangle", _("Waived")),
}
STORE_RUN = {
    "queued": Look("neutral", "clock", _("Queued")),
    "running": Look("blue", "player-play.filled", _("Running"), live=True),
    "done": Look("green", "circle-check", _("Done")),
    "failed": Look("red", "circle-x", _("Failed")),
}
STAGE = {
    "none": Look("neutral", "circle-dashed", _("No stage")),
    "staging": Look("cyan", "test-pipe", _("Staging")),
    "production": Look("green", "certificate", _("Production")),
    "archived": Look("neutral", "archive", _("Archived")),
}
STAGE_MOVE = {
    "waiting": Look("violet", "hourglass", _("Waiting for approval")),
    "done": Look("green", "circle-check", _("Done")),
    "ended": Look("neutral", "circle-x", _("Not done")),
}
REVISION = {
    "draft": Look("neutral", "circle-dashed", _("Draft")),
    "pending_approval": Look("violet", "hourglass", _("Pending approval")),
    "approved": Look("green", "circle-check", _("Approved")),
    "rejected": Look("red", "circle-x", _("Rejected")),
    "stale": Look("amber", "alert-triangle", _("Stale")),
    "withdrawn": Look("neutral", "arrow-back-up", _("Withdrawn")),
    "rolling_out": Look("blue", "rocket", _("Rolling out"), live=True),
    "active": Look("green", "circle-check", _("Active")),
    "superseded": Look("neutral", "archive", _("Superseded")),
    "rolling_back": Look("amber", "arrow-back-up", _("Rolling back"), live=True),
    "rolled_back": Look("amber", "arrow-back-up", _("Rolled back")),
    "failed": Look("red", "circle-x", _("Failed")),
    "retired": Look("neutral", "archive", _("Retired")),
}
DEPLOYMENT = {
    "pending_approval": Look("violet", "hourglass", _("Pending approval")),
    "creating": Look("cyan", "loader", _("Creating"), live=True),
    "in_service": Look("green", "circle-check", _("In service")),
    "updating": Look("blue", "rocket", _("Updating"), live=True),
    "rolling_back": Look("amber", "arrow-back-up", _("Rolling back"), live=True),
    "degraded": Look("amber", "alert-triangle", _("Degraded")),
    "out_of_service": Look("red", "plug-connected-x", _("Out of service")),
}
REPLICA = {
    "pending": Look("neutral", "clock", _("Pending")),
    "scheduled": Look("cyan", "calendar-time", _("Scheduled")),
    "loading": Look("cyan", "loader", _("Loading weights"), live=True),
    "warming": Look("cyan", "flame", _("Warming up"), live=True),
    "ready": Look("green", "circle-check", _("Ready")),
    "draining": Look("amber", "arrow-bar-to-down", _("Draining"), live=True),
    "stopped": Look("neutral", "player-stop", _("Stopped")),
    "crashed": Look("red", "circle-x", _("Crashed")),
    "lost": Look("red", "plug-connected-x", _("Lost")),
}
APPROVAL = {
    "open": Look("violet", "hourglass", pgettext_lazy("approval", "Open")),
    "approved": Look("green", "circle-check", _("Approved")),
    "rejected": Look("red", "circle-x", _("Rejected")),
    "expired": Look("neutral", "clock-cancel", _("Expired")),
    "withdrawn": Look("neutral", "arrow-back-up", _("Withdrawn")),
    "stale": Look("amber", "alert-triangle", _("Stale")),
    "executed": Look("green", "check", _("Carried out")),
}
NODE = {
    "ready": Look("green", "circle-check", _("Ready")),
    "cordoned": Look("neutral", "ban", _("Cordoned")),
    "draining": Look("amber", "arrow-bar-to-down", _("Draining"), live=True),
    "unreachable": Look("red", "plug-connected-x", _("Unreachable")),
    "quarantined": Look("red", "shield-x", _("Quarantined")),
    "removed": Look("neutral", "archive", _("Removed")),
}
ALERT = {
    "pending": Look("neutral", "hourglass", pgettext_lazy("alert", "Pending")),
    "firing": Look("red", "bell", _("Firing")),
    "acknowledged": Look("blue", "user-check", _("Acknowledged")),
    "resolved": Look("green", "circle-check", _("Resolved")),
}
SEVERITY = {
    "critical": Look("red", "flame", _("Critical")),
    "warning": Look("amber", "alert-triangle", _("Warning")),
    "info": Look("blue", "info-circle", _("Information")),
}
REPRODUCTION = {
    "pending": Look("blue", "loader", _("Rebuilding"), live=True),
    "equal": Look("green", "circle-check", _("Equal")),
    "different": Look("amber", "alert-triangle", _("Different")),
    "failed": Look("red", "circle-x", _("Not rebuilt")),
}
EVIDENCE = {
    "equal": Look("green", "circle-check", _("Equal")),
    "differs": Look("red", "circle-x", _("Differs")),
    "different": Look("amber", "alert-triangle", _("Different")),
    "missing": Look("amber", "alert-triangle", _("Missing")),
    "unknown": Look("neutral", "circle-dashed", _("Not known")),
}
SWEEP = {
    "running": Look("blue", "player-play.filled", _("Running"), live=True),
    "paused": Look("neutral", "player-pause", _("Paused")),
    "finishing": Look("cyan", "flag", pgettext_lazy("sweep", "Finishing"), live=True),
    "done": Look("green", "circle-check", _("Done")),
    "stopped": Look("neutral", "player-stop", _("Stopped")),
    "failed": Look("red", "circle-x", _("Failed")),
}
TRIAL = {
    "running": Look("blue", "player-play.filled", _("Running"), live=True),
    "stopping": Look("amber", "player-stop", _("Stopping"), live=True),
    "done": Look("green", "circle-check", _("Done")),
    "stopped": Look("neutral", "player-stop", _("Stopped")),
    "failed": Look("red", "circle-x", _("Failed")),
}
#: Verdicts of a scan, and severities of what it finds.
SCAN = {
    "blocked": Look("red", "shield-x", _("Blocked")),
    "warnings": Look("amber", "shield-half", _("Usable, with warnings")),
    "passed": Look("green", "shield-check", _("Nothing found")),
    "warning": Look("amber", "alert-triangle", _("Warning")),
    "note": Look("neutral", "info-circle", _("Note")),
}
#: Things without a machine of their own that a badge shows all the same: tokens, people, switches.
OTHER = {
    "active": Look("green", "circle-check", _("Active")),
    "inactive": Look("neutral", "ban", _("Inactive")),
    "revoked": Look("neutral", "ban", _("Revoked")),
    "expired": Look("neutral", "clock-cancel", _("Expired")),
    "archived": Look("neutral", "archive", _("Archived")),
}

#: Kind of row -> its machine. Model names without underscore are accepted as well.
ROLLOUT = {
    "running": Look("blue", "rocket", _("Running"), live=True),
    "paused": Look("neutral", "player-pause", _("Paused")),
    "succeeded": Look("green", "circle-check", _("Succeeded")),
    "aborted": Look("neutral", "ban", _("Aborted")),
    "rolled_back": Look("red", "arrow-back-up", _("Turned back")),
    "failed": Look("red", "circle-x", _("Failed")),
}
KINDS: dict[str, dict[str, Look]] = {
    "job": JOB,
    "attempt": JOB,
    "dataset_version": VERSION,
    "model_version": VERSION,
    "version_quality": QUALITY,
    "stage": STAGE,
    "stage_move": STAGE_MOVE,
    "revision": REVISION,
    "deployment": DEPLOYMENT,
    "replica": REPLICA,
    "rollout": ROLLOUT,
    "approval": APPROVAL,
    "node": NODE,
    "store_run": STORE_RUN,
    "alert": ALERT,
    "severity": SEVERITY,
    "reproduction": REPRODUCTION,
    "evidence": EVIDENCE,
    "scan": SCAN,
    "sweep": SWEEP,
    "trial": TRIAL,
    "other": OTHER,
}
ALIASES = {
    "datasetversion": "dataset_version",
    "modelversion": "model_version",
    "version": "model_version",
    "versionquality": "version_quality",
    "deploymentrevision": "revision",
    "jobattempt": "attempt",
    "approvalrequest": "approval",
    "stagemove": "stage_move",
}


def kind_of(row: object) -> str:
    """The kind of a model instance, from its model's name."""
    meta = getattr(row, "_meta", None)
    name = str(meta.model_name) if meta else ""
    return ALIASES.get(name, name)


def look_of(state: str, kind: str = "") -> Look:
    """The look of a state; an unknown one is shown plainly rather than breaking the page."""
    kind = ALIASES.get(kind, kind)
    machines = [KINDS[kind]] if kind in KINDS else list(KINDS.values())
    for machine in machines:
        if state in machine:
            return machine[state]
    words = state.replace("_", " ").capitalize()
    return Look("neutral", "circle-dashed", gettext(words) if words else "–")
