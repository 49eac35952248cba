"""What scaling has to know of deployments, read in few queries for all of them."""

from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from models_app.core.clock import now
from models_app.deployments.load import Load
from models_app.deployments.models import Deployment, RequestRecord, Revision, ScalingEvent
from models_app.deployments.scaling import SAMPLES, Facts
from models_app.deployments.states import RevisionState
from models_app.deployments.wanted import scaling_of, wanted_replicas
from models_app.registry.states import VersionState

FIRST_TOKEN = """
SELECT count(*), percentile_cont(0.95) WITHIN GROUP (ORDER BY first_token_ms)
  FROM deployments_requestrecord
 WHERE deployment_id = %s AND at > clock_timestamp() - make_interval(secs => %s)
   AND status < 400 AND NOT mirrored
   AND wake_ms = 0 AND first_token_ms IS NOT NULL AND cache <> 'hit'
"""
#: Waits for the first token are those of calls since then.
RECENT_S = 60


def scaled() -> QuerySet[Deployment]:
    """Deployments that serve and scale, or have done so: none of the others is looked at."""
    events = ScalingEvent.objects.filter(deployment=OuterRef("pk")).order_by("-id")
    up = events.filter(after__gt=F("before")).values("at")[:1]
    down = events.filter(after__lt=F("before"), after__gt=0).values("at")[:1]
    calls = RequestRecord.objects.filter(deployment=OuterRef("pk")).order_by("-id")
    rolling = Revision.objects.filter(deployment=OuterRef("pk"), state=RevisionState.ROLLING_OUT)
    asked = Q(active_revision__overlaid_spec__max_replicas__gt=0) | Q(
        active_revision__overlaid_spec=None,
        active_revision__config_revision__spec__max_replicas__gt=0,
    )
    rows = Deployment.objects.filter(
        Q(scaled_to__isnull=False) | asked, stopped_at=None, active_revision__isnull=False
    ).exclude(active_revision__model_version__state=VersionState.QUARANTINED)
    return (
        rows.select_related("active_revision__config_revision")
        .annotate(
            went_up_at=Subquery(up),
            went_down_at=Subquery(down),
            last_request_at=Subquery(calls.values("at")[:1]),
            rolls_out=Exists(rolling),
        )
        .order_by("pk")
    )


def facts_of(row: Deployment, load: Load | None) -> Facts:
    """`row` comes from `scaled`."""
    known: Any = row
    active = row.active_revision
    assert active is not None
    slow = scaling_of(active).target_first_token_ms
    return Facts(
        now=now(),
        current=wanted_replicas(row, active),
        load=load,
        first_token_ms=first_token_p95(row.pk) if slow else None,
        over_since=row.over_since,
        calm_since=row.calm_since,
        went_up_at=known.went_up_at,
        went_down_at=known.went_down_at,
        last_request_at=known.last_request_at,
        held_at=row.held_at,
        held_until=row.held_until,
        rolling_out=known.rolls_out,
    )


def first_token_p95(deployment_id: int) -> float | None:
    """In ms, of recent calls that a replica answered without having to wake; None for too few."""
    with connection.cursor() as cursor:
        cursor.execute(FIRST_TOKEN, [deployment_id, RECENT_S])
        (count, value) = cursor.fetchone()
    return float(value) if count >= SAMPLES else None
