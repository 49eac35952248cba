"""Overlays: what an environment changes of a configuration, in immutable revisions of their own."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.configs.comparison import model_changes
from models_app.configs.environments import check_environment
from models_app.configs.models import Config, OverlayRevision
from models_app.configs.selectors import overlay_numbered
from models_app.configs.services.merged import check_patch, effective_spec
from models_app.configs.specs import spec_class
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.events.publish import publish_on_commit


@transaction.atomic
def overlay_revise(
    *,
    actor: Actor,
    config: Config,
    environment: str,
    patch: Mapping[str, Any],
    reason: str,
    base: int | None = None,
) -> OverlayRevision:
    """Store what `environment` changes from now on; revisions that exist are not touched.

    An empty patch takes the overlay back. Raises InvalidInput with paths under `patch` where it
    makes the newest revision invalid, Conflict where `base` is not the newest overlay revision.
    """
    require(actor, "configs.add_config", config)
    if not spec_class(config.kind).overlaid:
        said = _("What uses a %(kind)s configuration runs in no environment.")
        raise WrongState(said % {"kind": config.kind})
    check_environment(environment)
    reason = clean_title(reason, "reason")
    patch = check_patch(patch)
    config = Config.objects.select_for_update().get(pk=config.pk)
    _check_base(config, environment, base)
    newest = config.revisions.order_by("-number").first()
    if newest is None:
        raise FieldError("config", _("%(name)s has no revision yet.") % {"name": config.name})
    effective_spec(config.kind, newest.spec, patch)
    digest = digest_json({"environment": environment, "patch": patch})
    rows = config.overlays.filter(environment=environment)
    last = rows.order_by("-number").first()
    if last is not None and last.digest == digest:
        return last
    overlay = OverlayRevision.objects.create(
        config=config,
        environment=environment,
        number=(rows.aggregate(top=Max("number"))["top"] or 0) + 1,
        patch=patch,
        digest=digest,
        reason=reason,
        author_id=actor.pk,
    )
    audit_record(
        actor=actor,
        action="config.overlaid",
        obj=overlay,
        changes={"environment": environment, "number": overlay.number, "digest": digest},
    )
    publish_on_commit(
        "config.overlaid",
        {"id": config.pk, "environment": environment, "number": overlay.number},
        f"config.{config.pk}",
        f"team.{config.team_id}",
    )
    return overlay


def _check_base(config: Config, environment: str, base: int | None) -> None:
    number = overlay_numbered(config, environment)
    if base is None or base == number:
        return
    rows = {row.number: row.patch for row in config.overlays.filter(environment=environment)}
    changes = model_changes(spec_class(config.kind), rows.get(base, {}), rows.get(number, {}))
    said = _("o%(new)s was stored in the meantime; this was written on o%(old)s.")
    raise Conflict(
        said % {"new": number, "old": base},
        newest=number,
        changes=[change.to_dict() for change in changes],
    )
