"""Reads alerts, filtered by what the actor may see."""

from django.db.models import Case, IntegerField, QuerySet, Value, When

from models_app.alerts.models import Alert
from models_app.alerts.states import AlertState, Severity
from models_app.configs.specs.alerts import SIGNALS
from models_app.core.actor import Actor

#: In which order people read them.
STATES = (AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.PENDING, AlertState.RESOLVED)


def alert_list(
    *, actor: Actor, state: str = "", severity: str = "", team: str = ""
) -> QuerySet[Alert]:
    """Alerts by state, severity and team, newest first."""
    rows = Alert.objects.visible_to(actor).select_related(
        "team", "config__team", "revision", "overlay", "acknowledged_by"
    )
    given = {"state": state, "severity": severity, "team__slug": team}
    return rows.filter(**{name: value for name, value in given.items() if value}).order_by("-id")


def worst_first(rows: QuerySet[Alert]) -> QuerySet[Alert]:
    """Firing ones first, critical ones first among them; then the newest."""
    return rows.order_by(_rank("state", STATES), _rank("severity", Severity.values), "-id")


def alerts_open(*, actor: Actor, team_id: int, kind: str, subject: str) -> QuerySet[Alert]:
    """Those about one subject of this kind that were told and are not over, worst first."""
    signals = [name for name, signal in SIGNALS.items() if signal.subject == kind]
    rows = alert_list(actor=actor).filter(
        team=team_id, subject=subject, signal__in=signals,
        state__in=(AlertState.FIRING, AlertState.ACKNOWLEDGED),
    )  # fmt: skip
    return worst_first(rows)


def alert_get(*, actor: Actor, alert_id: int) -> Alert:
    """One alert, or NotFound."""
    rows = Alert.objects.select_related(
        "team", "config__team", "revision", "overlay", "acknowledged_by"
    )
    return rows.get_visible(actor, pk=alert_id)


def alerts_firing(*, actor: Actor) -> int:
    """How many fire and nobody has acknowledged."""
    return Alert.objects.visible_to(actor).filter(state=AlertState.FIRING).count()


def _rank(field: str, values: "list[str] | tuple[AlertState, ...]") -> Case:
    whens = [When(**{field: value}, then=Value(place)) for place, value in enumerate(values)]
    return Case(*whens, default=Value(len(whens)), output_field=IntegerField())
