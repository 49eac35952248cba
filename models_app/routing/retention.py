"""How long calls stay recorded. Figures of pages and of scaling are of the last day at most."""

from django.conf import settings

from models_app.core.expiry import Kept, rows_expire, rows_kept
from models_app.deployments.models import RequestRecord
from models_app.routing.models import MirrorPair


def requests_expire() -> int:
    """One round over the records of calls and of mirrored ones; returns how many went."""
    limits = {"days": settings.REQUEST_KEEP_DAYS, "most": settings.REQUEST_MOST}
    return rows_expire(RequestRecord, **limits) + rows_expire(MirrorPair, **limits)


def requests_kept() -> Kept:
    """The records of calls that there are now."""
    return rows_kept(RequestRecord)
