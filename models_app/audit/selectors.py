"""Reads the audit log."""

from django.db.models import Q, QuerySet

from models_app.audit.models import AuditEvent
from models_app.core.actor import Actor


def event_list(
    *, actor: Actor, query: str = "", action: str = "", object_type: str = "", object_id: str = ""
) -> QuerySet[AuditEvent]:
    """Newest first; `query` looks into actor, action and object."""
    rows = AuditEvent.objects.visible_to(actor).select_related("actor", "team")
    if query:
        rows = rows.filter(
            Q(actor_label__icontains=query)
            | Q(action__icontains=query)
            | Q(object_label__icontains=query)
        )
    if action:
        rows = rows.filter(action__startswith=action)
    if object_type:
        rows = rows.filter(object_type=object_type)
    if object_id:
        rows = rows.filter(object_id=object_id)
    return rows
