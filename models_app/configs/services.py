"""Configurations are written as immutable, numbered revisions."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max

from models_app.audit.services import audit_record
from models_app.configs.models import Config, ConfigRevision
from models_app.configs.specs import Spec, spec_class
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
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
    plain = checked.plain()
    digest = digest_json({"kind": kind, "spec": plain})
    config, _ = Config.objects.get_or_create(
        team=team, kind=kind, name=clean_slug(name), defaults={"created_by_id": actor.pk}
    )
    # The lock puts writers of one configuration into a line, so that numbers have no gap.
    config = Config.objects.select_for_update().get(pk=config.pk)
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
        changes={"kind": kind, "number": revision.number, "digest": digest},
    )
    publish_on_commit(
        "config.revised", {"id": config.pk, "number": revision.number}, f"team.{config.team_id}"
    )
    return revision


def revision_spec(revision: ConfigRevision) -> Spec:
    """The typed contents of a stored revision."""
    return parse(spec_class(revision.config.kind), revision.spec, prefix="spec")
