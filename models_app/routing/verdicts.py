"""What judges said, counted for roll-outs, whose copies are recorded beside those of routes."""

import datetime as dt

from django.db.models import Count

from models_app.deployments.verdicts import Verdicts, counts_verdicts
from models_app.routing.models import MirrorPair


@counts_verdicts
def pairs_judged(new: int, old: int, since: dt.datetime) -> Verdicts:
    """Of the copies of one revision beside the answers of another."""
    rows = MirrorPair.objects.filter(
        at__gte=since, mirror_revision=new, revision=old, verdict__isnull=False
    )
    counts = rows.order_by().values_list("verdict").annotate(count=Count("pk"))
    found = {str(verdict): count for verdict, count in counts}
    return Verdicts(wins=found.get("win", 0), losses=found.get("loss", 0), ties=found.get("tie", 0))
