"""The states of a node.

    (first start) ──▶ ready ──cordon (operator)──▶ cordoned ──drain (operator)──▶ draining
                       ▲ │ ▲                          │ ▲                            │
                       │ │ └──────uncordon (operator)─┘ └──empty (sweeper)───────────┤
      sign of life ────┘ └─silent (sweeper)─▶ unreachable                            └─▶ removed
      (node)             └─many silent at once (sweeper), or by hand─▶ quarantined

Only a ready node gets new jobs. A cordoned one keeps what it has; a draining one gives it away:
what can be saved moves, streams finish, short work ends; a deadline forces the rest. The jobs of a
quarantined node are held back instead of being started elsewhere all at once.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class NodeState(models.TextChoices):
    READY = "ready", _("Ready")
    CORDONED = "cordoned", _("Cordoned")
    DRAINING = "draining", _("Draining")
    UNREACHABLE = "unreachable", _("Unreachable")
    QUARANTINED = "quarantined", _("Quarantined")
    REMOVED = "removed", _("Removed")


S = NodeState
ALLOWED: dict[str, set[str]] = {
    S.READY: {S.CORDONED, S.DRAINING, S.UNREACHABLE, S.QUARANTINED},
    S.CORDONED: {S.READY, S.DRAINING, S.UNREACHABLE, S.QUARANTINED, S.REMOVED},
    S.DRAINING: {S.READY, S.CORDONED, S.UNREACHABLE, S.REMOVED},
    S.UNREACHABLE: {S.READY, S.CORDONED, S.DRAINING, S.QUARANTINED, S.REMOVED},
    S.QUARANTINED: {S.READY, S.CORDONED, S.DRAINING, S.UNREACHABLE, S.REMOVED},
    S.REMOVED: {S.READY, S.UNREACHABLE},  # joined anew under its old name
}
