"""The states of a sweep and of its trials.

    running ──nothing left to start (driver)──▶ finishing ──its trials are over (driver)──▶ done
     │ ▲  │                                         │
     │ │  └─the same wrong settings thrice (driver)─┼─▶ failed
     │ └─resume (person)── paused                   │
     └─pause (person)────────▲  └─────stop (person)─┴─▶ stopped

A sweep that is paused starts nothing; what runs goes on. Stopping cancels what runs. A trial is
`running` from the moment its training exists, though that may wait in the queue:

    running ──its training ends well──▶ done
       ├──its training fails──▶ failed
       ├──its training is cancelled by somebody──▶ stopped
       └──stopped by the sweep──▶ stopping ──its training has ended──▶ stopped (or done, failed:
                                                                       it was faster)
"""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class SweepState(models.TextChoices):
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    FINISHING = "finishing", pgettext_lazy("sweep", "Finishing")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")
    FAILED = "failed", _("Failed")


S = SweepState
ALLOWED: dict[str, set[str]] = {
    S.RUNNING: {S.PAUSED, S.FINISHING, S.STOPPED, S.FAILED},
    S.PAUSED: {S.RUNNING, S.STOPPED},
    S.FINISHING: {S.DONE, S.STOPPED, S.FAILED},
    S.DONE: set(),
    S.STOPPED: set(),
    S.FAILED: set(),
}
#: Not over.
OPEN = {state for state, ways in ALLOWED.items() if ways}


class TrialState(models.TextChoices):
    RUNNING = "running", _("Running")
    STOPPING = "stopping", _("Stopping")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")
    FAILED = "failed", _("Failed")


T = TrialState
TRIAL_ALLOWED: dict[str, set[str]] = {
    T.RUNNING: {T.STOPPING, T.DONE, T.STOPPED, T.FAILED},
    T.STOPPING: {T.DONE, T.STOPPED, T.FAILED},
    T.DONE: set(),
    T.STOPPED: set(),
    T.FAILED: set(),
}
TRIAL_OPEN = {state for state, ways in TRIAL_ALLOWED.items() if ways}


class Strategy(models.TextChoices):
    """How the settings of the next trial are chosen."""

    GRID = "grid", _("Grid: every combination once")
    RANDOM = "random", _("Random")
    TPE = "tpe", _("Learning from earlier trials (TPE)")


class Ending(models.TextChoices):
    """Why a trial was stopped."""

    BEATEN = "beaten", _("Not among the best at a rung")
    SWEEP = "sweep", _("The sweep was stopped")
    PERSON = "person", _("Its training was cancelled")
