"""The rules of a team change by immutable revisions; every version is then judged anew."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.db import transaction

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.validation import parse
from models_app.curation.services.checks import quality_judge
from models_app.datasets.models import QualityPolicy, VersionQuality
from models_app.datasets.policy import PolicySpec
from models_app.datasets.quality import policy_current
from models_app.events.publish import publish_on_commit


@transaction.atomic
def data_policy_change(
    *, actor: Actor, team: Any, spec: PolicySpec | Mapping[str, Any], reason: str = ""
) -> QualityPolicy:
    """Put new rules in force. What equals the rules in force is that revision.

    Raises InvalidInput with dotted paths under `spec`. Waivers given under the old rules end.
    """
    require(actor, "datasets.change_policy", team)
    if not isinstance(spec, PolicySpec):
        spec = parse(PolicySpec, dict(spec), prefix="spec")
    reason = clean_title(reason, "reason") if reason.strip() else ""
    # The lock of the team's row puts writers into a line, so that numbers have no gap.
    apps.get_model("access.Team")._base_manager.select_for_update(no_key=True).get(pk=team.pk)
    plain = spec.plain()
    digest = digest_json(plain)
    newest = policy_current(team.pk)
    if newest is not None and newest.digest == digest:
        return newest
    policy = QualityPolicy.objects.create(
        team=team, number=newest.number + 1 if newest else 1, spec=plain, digest=digest,
        reason=reason, created_by_id=actor.pk,
    )  # fmt: skip
    changes = {"number": policy.number, "digest": digest}
    audit_record(actor=actor, action="data_policy.changed", obj=policy, changes=changes)
    publish_on_commit("data_policy.changed", {"number": policy.number}, f"team.{team.pk}")
    rows = VersionQuality.objects.select_for_update(of=("self",)).filter(
        version__dataset__team=team, report__isnull=False
    )
    for quality in rows.select_related("version__dataset", "report").order_by("pk"):
        quality_judge(actor=actor, quality=quality)
    return policy
