"""Models are made and described; versions get notes, are quarantined and let free again."""

from typing import Any

from django.db import IntegrityError, transaction

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict
from models_app.core.names import clean_slug, clean_text, clean_title
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.events.publish import publish_on_commit
from models_app.registry.models import Model, ModelVersion
from models_app.registry.states import ALLOWED, VersionState


@transaction.atomic
def model_create(*, actor: Actor, team: Any, name: str, description: str = "") -> Model:
    """A new model without versions. Raises FieldError for a bad name, Conflict for a taken one."""
    require(actor, "registry.add_model", team)
    name = clean_slug(name)
    try:
        with transaction.atomic():
            model = Model.objects.create(
                team=team,
                name=name,
                description=clean_text(description, "description"),
                created_by_id=actor.pk,
            )
    except IntegrityError:
        raise Conflict(f"The team has a model called {name!r} already.", field="name") from None
    audit_record(actor=actor, action="model.created", obj=model, changes={"name": name})
    announce(model)
    return model


@transaction.atomic
def model_describe(*, actor: Actor, model: Model, description: str) -> Model:
    """Change what is said about a model."""
    require(actor, "registry.change_model", model)
    old, model.description = model.description, clean_text(description, "description")
    model.save(update_fields=["description"])
    changes = {"from": old[:200], "to": model.description[:200]}
    audit_record(actor=actor, action="model.described", obj=model, changes=changes)
    announce(model)
    return model


@transaction.atomic
def version_note(*, actor: Actor, version: ModelVersion, notes: str) -> ModelVersion:
    """Change the notes of a version; its files and figures never change."""
    require(actor, "registry.change_model", version)
    version.notes = clean_text(notes, "notes")
    version.save(update_fields=["notes"])
    audit_record(actor=actor, action="model_version.noted", obj=version)
    announce(version.model)
    return version


@transaction.atomic
def version_quarantine(*, actor: Actor, version: ModelVersion, reason: str) -> ModelVersion:
    """Keep a version from being evaluated, deployed or trained further; says why."""
    require(actor, "registry.quarantine_version", version)
    reason = clean_title(reason, "reason")
    advance(version, VersionState.QUARANTINED, allowed=ALLOWED, error=reason)
    _record(actor, "model_version.quarantined", version, reason)
    return version


@transaction.atomic
def version_restore(*, actor: Actor, version: ModelVersion, reason: str) -> ModelVersion:
    """Let a quarantined version be used again; says why."""
    require(actor, "registry.quarantine_version", version)
    reason = clean_title(reason, "reason")
    advance(version, VersionState.READY, allowed=ALLOWED, error="")
    _record(actor, "model_version.restored", version, reason)
    return version


def _record(actor: Actor, action: str, version: ModelVersion, reason: str) -> None:
    changes = {"reason": reason, "digest": version.digest}
    audit_record(actor=actor, action=action, obj=version, changes=changes)
    announce(version.model)


def announce(model: Model) -> None:
    """Tell the pages of this model and the lists of its team, after commit."""
    publish_on_commit(
        "model.changed", {"id": model.pk}, f"model.{model.pk}", f"team.{model.team_id}"
    )
