"""Aliases are set, moved and deleted, each time with a reason and by compare-and-swap."""

from typing import Final

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict, FieldError, NotFound
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import state_word
from models_app.registry.aliases import Alias, AliasMove, clean_alias
from models_app.registry.models import Model, ModelVersion
from models_app.registry.services.models import announce
from models_app.registry.states import VersionState
from models_app.registry.use import version_hold

#: Said of `expected`: wherever it points now.
ANYWHERE: Final = -1


@transaction.atomic
def alias_set(
    *,
    actor: Actor,
    model: Model,
    name: str,
    version: ModelVersion,
    expected: int | None = ANYWHERE,
    reason: str = "",
) -> Alias:
    """Let a name point to a ready version. `expected` is the number of the version that it points
    to now, None where there is no such alias yet.

    Raises Conflict where it points elsewhere by now: somebody else was faster.
    """
    require(actor, "registry.set_alias", model)
    name = clean_alias(name)
    reason = clean_title(reason, "reason") if reason else ""
    if version.model_id != model.pk:
        raise FieldError("version", _("Choose a version of the same model."))
    alias = _locked(model, name, expected)
    version_hold(version)
    if version.state != VersionState.READY:
        said = _("%(version)s is not ready: %(state)s.")
        words = {"version": version, "state": state_word(version, version.state)}
        raise FieldError("version", said % words)
    old = alias.version if alias else None
    if alias is not None and old == version:
        return alias
    alias = alias or Alias(model=model, name=name)
    alias.version = version
    _record(actor, alias, old, version, reason)
    alias.save()
    return alias


@transaction.atomic
def alias_delete(
    *, actor: Actor, model: Model, name: str, expected: int | None = ANYWHERE, reason: str = ""
) -> None:
    """Take a name away; its history stays. Raises NotFound, or Conflict as `alias_set` does."""
    require(actor, "registry.set_alias", model)
    reason = clean_title(reason, "reason") if reason else ""
    alias = _locked(model, name, expected)
    if alias is None:
        raise NotFound(_("%(model)s has no alias %(name)s.") % {"model": model, "name": name})
    _record(actor, alias, alias.version, None, reason)
    alias.delete()


def _locked(model: Model, name: str, expected: int | None) -> Alias | None:
    """The alias as it stands, while nobody else moves aliases of the model."""
    Model.objects.select_for_update(no_key=True).get(pk=model.pk)
    alias = Alias.objects.filter(model=model, name=name).select_related("version__model").first()
    found = alias.version.number if alias else None
    if expected != ANYWHERE and found != expected:
        said = _("%(name)s points to v%(n)s by now. Look again before you go on.")
        gone = _("There is no alias %(name)s any more. Look again before you go on.")
        words = {"name": name, "n": found}
        raise Conflict((said if found else gone) % words, version=found)
    return alias


def _record(
    actor: Actor, alias: Alias, old: ModelVersion | None, new: ModelVersion | None, reason: str
) -> None:
    move = AliasMove.objects.create(
        model=alias.model, name=alias.name, old=old, new=new, moved_by_id=actor.pk, reason=reason
    )
    alias.moved_by_id, alias.moved_at = actor.pk, move.moved_at
    changes = {
        "alias": alias.name,
        "version": {"from": old and old.number, "to": new and new.number},
        "digest": new.digest if new else "",
        "reason": reason,
    }
    if new:
        audit_record(actor=actor, action="alias.moved", obj=alias.model, changes=changes)
    else:
        audit_record(actor=actor, action="alias.deleted", obj=alias.model, changes=changes)
    announce(alias.model)
