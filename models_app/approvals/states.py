"""The states of an approval request.

open ──enough votes──▶ approved ──carried out──▶ executed
  ├──one reject──▶ rejected        ├──subject changed──▶ stale
  ├──subject changed──▶ stale      └──revoked by its policy──▶ withdrawn
  ├──too late──▶ expired
  └──requester takes it back──▶ withdrawn
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class RequestState(models.TextChoices):
    OPEN = "open", _("Waiting for approval")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    EXPIRED = "expired", _("Expired")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    STALE = "stale", _("Stale")
    EXECUTED = "executed", _("Carried out")


S = RequestState
ALLOWED: dict[str, set[str]] = {
    S.OPEN: {S.APPROVED, S.REJECTED, S.EXPIRED, S.WITHDRAWN, S.STALE},
    S.APPROVED: {S.EXECUTED, S.STALE, S.EXPIRED, S.WITHDRAWN},
    S.REJECTED: set(),
    S.EXPIRED: set(),
    S.WITHDRAWN: set(),
    S.STALE: set(),
    S.EXECUTED: set(),
}


class Decision(models.TextChoices):
    APPROVE = "approve", _("Approve")
    REJECT = "reject", _("Reject")
