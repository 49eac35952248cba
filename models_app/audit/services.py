"""Writes the audit log. Called by every service, inside its transaction."""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.utils.translation import override

from models_app.audit.models import AuditEvent
from models_app.core.actor import Actor
from models_app.core.context import current
from models_app.core.permission import team_id_of


def audit_record(
    *,
    actor: Actor,
    action: str,
    obj: models.Model,
    changes: dict[str, Any] | None = None,
) -> AuditEvent:
    """Record that `actor` did `action` (`noun.past_participle`) to `obj`.

    `changes` is small JSON that says what changed, `{"field": {"from": …, "to": …}}` where there
    was a value before; never a secret.
    """
    event = _event(actor, action, obj, changes or {})
    event.save(force_insert=True)
    return event


def audit_record_all(*, actor: Actor, action: str, objs: Iterable[models.Model]) -> None:
    """Record that `actor` did the same to each of `objs`, with one statement."""
    AuditEvent.objects.bulk_create([_event(actor, action, obj, {}) for obj in objs])


def _event(actor: Actor, action: str, obj: models.Model, changes: dict[str, Any]) -> AuditEvent:
    context = current.get()
    token = getattr(actor, "auth_token", None)
    return AuditEvent(
        actor_id=actor.pk,
        actor_label=actor.label,
        token_prefix=token.prefix if token else "",
        via=context.via if actor.pk or context.via == "cli" else "system",
        ip=context.ip,
        request_id=context.request_id,
        action=action,
        team_id=team_id_of(obj),
        object_type=_noun(obj),
        object_id=str(obj.pk),
        object_label=str(obj)[:254],
        changes=changes,
    )


def _noun(obj: models.Model) -> str:
    """The kind of thing in the source language, whatever the language of the request."""
    with override(None):
        return str(obj._meta.verbose_name)
