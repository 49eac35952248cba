"""Configurations are written as immutable, numbered revisions."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.configs.comparison import spec_changes
from models_app.configs.models import Config, ConfigRevision
from models_app.configs.selectors import overlay_newest
from models_app.configs.services.merged import effective_spec
from models_app.configs.specs import Spec, spec_class
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
from models_app.core.errors import Conflict, FieldError, InvalidInput
from models_app.core.names import clean_slug, clean_title
from models_app.core.permission import require
from models_app.core.validation import parse
from models_app.events.publish import publish_on_commit


@transaction.atomic
def config_revise(
    *,
    actor: Actor,
    team: Any,
    kind: str,
    name: str,
    spec: Spec | Mapping[str, Any],
    reason: str = "",
    prefix: str = "spec",
) -> ConfigRevision:
    """Store `spec` as the newest revision of the configuration `name`, which is made if missing.

    What equals the newest revision is that revision. Raises InvalidInput with dotted paths under
    `prefix`.
    """
    require(actor, "configs.add_config", team)
    checked = spec if isinstance(spec, Spec) else parse(spec_class(kind), dict(spec), prefix=prefix)
    config = _locked(actor, team, kind, name)
    return _revise(actor, config, checked, reason)


@transaction.atomic
def config_save(
    *,
    actor: Actor,
    team: Any,
    kind: str,
    name: str,
    spec: Spec,
    reason: str = "",
    base: int | None = None,
) -> ConfigRevision:
    """What a person writes: `config_revise` that asks why, and overwrites nothing unseen.

    `base` is the number of the revision that was changed, 0 for a new name. Raises Conflict with
    what changed since, FieldError for a missing reason, and InvalidInput where the overlay of an
    environment no longer fits.
    """
    require(actor, "configs.add_config", team)
    config = _locked(actor, team, kind, name)
    newest = config.revisions.order_by("-number").first()
    if base is not None and base != (newest.number if newest else 0):
        raise _overtaken(config, base, newest)
    if newest is not None and newest.digest != spec_digest(kind, spec.plain()):
        if not reason.strip():
            said = _("Say why, in one line: it stands beside the revision for good.")
            raise FieldError("reason", said)
        _check_overlays(config, spec)
    return _revise(actor, config, spec, reason)


def spec_digest(kind: str, plain: Mapping[str, Any]) -> str:
    """The identity of settings of a kind."""
    return digest_json({"kind": kind, "spec": plain})


def revision_spec(revision: ConfigRevision) -> Spec:
    """The typed contents of a stored revision."""
    return parse(spec_class(revision.config.kind), revision.spec, prefix="spec")


def _locked(actor: Actor, team: Any, kind: str, name: str) -> Config:
    """The configuration, made if missing; the lock puts its writers into a line."""
    spec_class(kind)
    config, _made = Config.objects.get_or_create(
        team=team, kind=kind, name=clean_slug(name), defaults={"created_by_id": actor.pk}
    )
    return Config.objects.select_for_update().get(pk=config.pk)


def _revise(actor: Actor, config: Config, spec: Spec, reason: str) -> ConfigRevision:
    plain = spec.plain()
    digest = spec_digest(config.kind, plain)
    newest = config.revisions.order_by("-number").first()
    if newest is not None and newest.digest == digest:
        return newest
    revision = ConfigRevision.objects.create(
        config=config,
        number=(config.revisions.aggregate(top=Max("number"))["top"] or 0) + 1,
        spec=plain,
        digest=digest,
        reason=clean_title(reason, "reason") if reason.strip() else "",
        author_id=actor.pk,
    )
    audit_record(
        actor=actor,
        action="config.revised",
        obj=revision,
        changes={"kind": config.kind, "number": revision.number, "digest": digest},
    )
    publish_on_commit(
        "config.revised",
        {"id": config.pk, "number": revision.number},
        f"config.{config.pk}",
        f"team.{config.team_id}",
    )
    return revision


def _overtaken(config: Config, base: int, newest: ConfigRevision | None) -> Conflict:
    if newest is None:
        return Conflict(_("%(name)s has no revision yet.") % {"name": config.name}, newest=0)
    if base == 0:
        said = _("The team has a %(kind)s configuration called %(name)r already.")
        words = {"kind": config.kind, "name": config.name}
        return Conflict(said % words, newest=newest.number, config=config.pk, field="name")
    seen = config.revisions.filter(number=base).first()
    changes = spec_changes(config.kind, seen.spec, newest.spec) if seen else []
    said = _("r%(new)s was stored in the meantime; this was written on r%(old)s.")
    return Conflict(
        said % {"new": newest.number, "old": base},
        newest=newest.number,
        changes=[change.to_dict() for change in changes],
    )


def _check_overlays(config: Config, spec: Spec) -> None:
    """Every environment must still get something valid."""
    errors: dict[str, str | list[str]] = {}
    names = config.overlays.values_list("environment", flat=True).order_by("environment").distinct()
    for name in names:
        overlay = overlay_newest(config, name)
        if overlay is None:
            continue
        try:
            effective_spec(config.kind, spec.plain(), overlay.patch)
        except InvalidInput as error:
            for path, texts in error.errors.items():
                said = _("With the overlay of %(environment)s: %(text)s")
                errors[f"spec.{path.partition('.')[2]}"] = [
                    said % {"environment": name, "text": text} for text in texts
                ]
    if errors:
        raise InvalidInput(errors)
