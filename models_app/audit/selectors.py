"""Reads the audit log."""

import datetime as dt

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext as _

from models_app.audit.actions import actions_called
from models_app.audit.models import AuditEvent
from models_app.core.actor import Actor
from models_app.core.errors import FieldError


def event_list(
    *,
    actor: Actor,
    query: str = "",
    action: str = "",
    actor_name: str = "",
    team: str = "",
    object_type: str = "",
    object_id: str = "",
    since: str = "",
    until: str = "",
) -> QuerySet[AuditEvent]:
    """Newest first: events of the actor's teams, and the actor's own that belong to no team.

    `query` looks into actor, action (its name and its words) and object; `action` is a beginning;
    `since` and `until` are ISO dates or times, `until` a date includes that day.
    """
    rows = _visible(actor).select_related("actor", "team").order_by("-id")
    if query:
        rows = rows.filter(
            Q(actor_label__icontains=query)
            | Q(action__icontains=query)
            | Q(action__in=actions_called(query))
            | Q(object_label__icontains=query)
            | Q(request_id=query)
        )
    exact = {"team__slug": team, "object_type": object_type, "object_id": object_id}
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    if action:
        rows = rows.filter(action__startswith=action)
    if actor_name:
        rows = rows.filter(actor_label__iexact=actor_name)
    if since:
        rows = rows.filter(at__gte=_time(since, "since"))
    if until:
        day = _day(until)
        end = _time(until, "until") + (dt.timedelta(days=1) if day else dt.timedelta())
        rows = rows.filter(at__lt=end)
    return rows


def _visible(actor: Actor) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.visible_to(actor)
    if actor.visible_team_ids() is None:
        return rows
    token = getattr(actor, "auth_token", None)
    if token is None or token.team_id is None:
        # One's own sign-ins, passwords and tokens belong to no team.
        rows = rows | AuditEvent.objects.filter(actor_id=actor.pk, team=None)
    return rows


def _day(text: str) -> dt.date | None:
    """The day that `text` names, if it is a plain date."""
    try:
        return parse_date(text)
    except ValueError:
        return None


def _time(text: str, field: str) -> dt.datetime:
    day = _day(text)
    try:
        at = dt.datetime(day.year, day.month, day.day) if day else parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        raise FieldError(field, _("Write a date such as 2026-11-23, or an ISO time."))
    return make_aware(at, dt.UTC) if is_naive(at) else at
