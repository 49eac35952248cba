"""What the pages of one deployment and of one revision show."""

from collections import Counter
from itertools import pairwise
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.deployments.course import course_context
from console.pages.deployments.outcomes import say_outcomes
from console.pages.deployments.scaling import mark_replicas, scaling_context
from models_app.approvals.states import RequestState
from models_app.configs.specs import ServingSpec
from models_app.configs.specs.base import value_words
from models_app.deployments import selectors
from models_app.deployments.beside import adapter_list, adapters_offered
from models_app.deployments.comparison import (
    revision_changes,
    revision_evidence,
    rollback_plan,
)
from models_app.deployments.footprint import replica_bytes
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.services import back_targets
from models_app.deployments.services.standing import lacks_approval
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.deployments.wanted import wanted_replicas
from models_app.deployments.windows import WINDOWS, window_figures
from models_app.routing.selectors import routes_to

REVISIONS_SHOWN = 12
REQUESTS_SHOWN = 10
WINDOW_NAMES = {
    "15m": gettext_lazy("15 min"),
    "1h": gettext_lazy("1 h"),
    "24h": gettext_lazy("24 h"),
}
STARTABLE = (RevisionState.APPROVED, RevisionState.FAILED)


def detail_context(actor: Any, row: Deployment, *, window: str = "") -> dict[str, Any]:
    """The page of a deployment, with figures of one of `WINDOW_NAMES`."""
    revisions = list(selectors.revision_list(actor=actor, deployment=row)[:REVISIONS_SHOWN])
    replicas = list(selectors.replica_list(actor=actor, deployment=row))
    mark_replicas(replicas)
    _compare(revisions)
    _offer_ways(actor, row, revisions, replicas)
    active, may = row.active_revision, _may(actor, row)
    return {
        "deployment": row,
        "status": selectors.deployment_status(row),
        "topic": f"deployment.{row.pk}",
        "active": active,
        "pending": [r for r in revisions if _is_open(r)],
        "troubles": [r for r in revisions[:1] if r.state == RevisionState.FAILED],
        "revisions": revisions,
        "more_revisions": row.revisions.count() - len(revisions),
        "replicas": replicas,
        "window": window_figures(row, window=window),
        "windows": [(name, WINDOW_NAMES[name]) for name in WINDOWS],
        "records": say_outcomes(
            list(selectors.request_list(actor=actor, deployment=row)[:REQUESTS_SHOWN])
        ),
        "model_name": f"{row.team.slug}/{row.name}",
        "may": may,
        "adapters": adapter_list(actor=actor, deployment=row),
        "offered": adapters_offered(actor=actor, deployment=row) if may["change"] else [],
        "routes": routes_to(actor=actor, deployment=row),
        "scale_from": wanted_replicas(row, active) if active else 0,
        **scaling_context(row),
        **course_context(actor, row, replicas),
    }


def _may(actor: Any, row: Deployment) -> dict[str, bool]:
    return {
        verb: actor.has_perm(f"deployments.{verb}_deployment", row)
        for verb in ("change", "roll_out", "roll_back")
    }


def _is_open(revision: Revision) -> bool:
    return revision.approval is not None and revision.approval.state == RequestState.OPEN


def _compare(revisions: list[Revision]) -> None:
    """What each changed against the one before it; the last one shown has nothing to compare."""
    rows: list[Any] = list(revisions)
    for newer, older in pairwise(rows):
        newer.changes = revision_changes(older, newer)
    for last in rows[-1:]:
        before = selectors.revision_before(last)
        last.changes = revision_changes(before, last) if before else []


def _offer_ways(
    actor: Any, row: Deployment, revisions: list[Revision], replicas: list[Replica]
) -> None:
    """Where one may roll back to, and what that would do; what may be started."""
    back = {r.pk for r in back_targets(row)} if not row.stopped_at else set()
    ready = Counter(r.revision_id for r in replicas if r.state == ReplicaState.READY)
    proved = selectors.revisions_with_golden(revisions) if back else set()
    rows: list[Any] = list(revisions)
    for revision in rows:
        revision.startable = revision.state in STARTABLE and not row.stopped_at
        revision.back = ""
        if revision.pk in back and not _is_open(revision):
            revision.deployment = row
            revision.back = rollback_plan(
                revision,
                needs_approval=lacks_approval(revision),
                ready=ready[revision.pk],
                proved=revision.pk in proved,
            )


def revision_context(actor: Any, row: Deployment, revision: Revision) -> dict[str, Any]:
    """The page of a revision."""
    before = selectors.revision_before(revision)
    alive = list(selectors.replica_list(actor=actor, deployment=row))
    _offer_ways(actor, row, [revision], alive)
    spec = revision.spec_in_effect
    settings = [
        (_(str(field.title or name)), value_words(ServingSpec, name, spec.get(name)))
        for name, field in ServingSpec.model_fields.items()
    ]
    replicas = selectors.replica_list(actor=actor, deployment=row, stopped=True)
    return {
        "deployment": row,
        "revision": revision,
        "before": before,
        "changes": revision_changes(before, revision),
        "evidence": revision_evidence(before, revision),
        "settings": settings,
        "memory": replica_bytes(revision.model_version, spec),
        "replicas": list(replicas.filter(revision=revision)[:50]),
        "golden": list(revision.golden_answers.order_by("number")),
        "is_open": _is_open(revision),
        "topic": f"deployment.{row.pk}",
        "may": _may(actor, row),
    }
