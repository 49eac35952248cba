"""Models are made and described; versions get notes, are quarantined and let free again."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_slug, clean_text, clean_title, one_of
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.events.publish import publish_on_commit
from models_app.registry.models import Model, ModelVersion
from models_app.registry.states import ALLOWED, Family, VersionState
from models_app.registry.use import Use, version_hold, version_uses, version_uses_end


@transaction.atomic
def model_create(
    *,
    actor: Actor,
    team: Any,
    name: str,
    description: str = "",
    family: str = Family.TRANSFORMER,
) -> Model:
    """A new model without versions. Raises FieldError for a bad name, Conflict for a taken one."""
    require(actor, "registry.add_model", team)
    name = clean_slug(name)
    try:
        with transaction.atomic():
            model = Model.objects.create(
                team=team,
                name=name,
                family=_family(family),
                description=clean_text(description, "description"),
                created_by_id=actor.pk,
            )
    except IntegrityError:
        said = _("The team has a model called %(name)r already.") % {"name": name}
        raise Conflict(said, field="name") from None
    audit_record(
        actor=actor, action="model.created", obj=model, changes={"name": name, "family": family}
    )
    announce(model)
    return model


def _family(given: str) -> str:
    if given not in Family.values:
        raise FieldError("family", one_of(Family.values))
    return given


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
def version_quarantine(
    *, actor: Actor, version: ModelVersion, reason: str, stop_serving: bool = False
) -> ModelVersion:
    """Keep a version from being evaluated, deployed or trained further; says why.

    Raises WrongState with `uses` while something serves it. `stop_serving` ends that in the same
    transaction, with the actor's own rights to do so.
    """
    require(actor, "registry.quarantine_version", version)
    reason = clean_title(reason, "reason")
    ended: list[Use] = []
    if stop_serving:
        ended = version_uses_end(actor=actor, version=version, reason=reason)
    # Whoever wants to begin serving it waits for us from here on, and then finds it quarantined.
    version_hold(version)
    _check_unused(version, but_lets_go=stop_serving)
    advance(version, VersionState.QUARANTINED, allowed=ALLOWED, error=reason)
    stopped = {"stopped": [str(use) for use in ended]} if ended else {}
    _record(actor, "model_version.quarantined", version, reason, **stopped)
    return version


def _check_unused(version: ModelVersion, *, but_lets_go: bool) -> None:
    uses = [use for use in version_uses(version) if not (but_lets_go and use.lets_go)]
    if not uses:
        return
    said = _(
        "%(version)s is in use: %(uses)s. Roll back or stop what uses it first, or choose that it"
        " stops together with the quarantine (stop_serving)."
    )
    words = {"version": version, "uses": ", ".join(str(use) for use in uses)}
    raise WrongState(said % words, uses=[use.to_dict() for use in uses])


@transaction.atomic
def version_restore(*, actor: Actor, version: ModelVersion, reason: str) -> ModelVersion:
    """Let a quarantined version be used again; says why."""
    require(actor, "registry.quarantine_version", version)
    reason = clean_title(reason, "reason")
    advance(version, VersionState.READY, allowed=ALLOWED, error="")
    _record(actor, "model_version.restored", version, reason)
    return version


def quarantined_refuse(version: ModelVersion) -> None:
    """What was quarantined does not come back through the door as something new: Conflict."""
    rows = ModelVersion.objects.filter(
        model__team_id=version.team_id, digest=version.digest, state=VersionState.QUARANTINED
    ).select_related("model")
    found = rows.first()
    if found is not None:
        said = _("These are the files of %(version)s, which is quarantined: %(why)s")
        raise Conflict(said % {"version": found, "why": found.error})


def _record(actor: Actor, action: str, version: ModelVersion, reason: str, **more: Any) -> None:
    changes = {"reason": reason, "digest": version.digest, **more}
    audit_record(actor=actor, action=action, obj=version, changes=changes)
    announce(version.model)


def announce(model: Model) -> None:
    """Tell the pages of this model and the lists of its team, after commit."""
    publish_on_commit(
        "model.changed", {"id": model.pk}, f"model.{model.pk}", f"team.{model.team_id}"
    )
