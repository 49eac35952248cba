"""Watches a revision after its switch, while the one before it is still warm.

More errors than its settings allow, and it goes back by itself, once: a way back is never watched,
so that two bad revisions do not take turns.
"""

from django.utils.translation import gettext as _

from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.core.errors import WrongState
from models_app.deployments.judging import arm_figures, why_bad
from models_app.deployments.models import Deployment, Replica, Revision, Rollout
from models_app.deployments.services.course import rollout_note
from models_app.deployments.services.rollouts import begin_rollout
from models_app.deployments.services.standing import why_not_run
from models_app.deployments.states import ReplicaState, RevisionState, RolloutState
from models_app.deployments.wanted import wanted_replicas


def watch_active(deployment: Deployment, replicas: list[Replica]) -> bool:
    """Under the deployment's lock: go back if the newly active revision fails too many requests."""
    active = deployment.active_revision
    if active is None or deployment.stopped_at or active.activated_at is None:
        return False
    rollout = Rollout.objects.filter(
        deployment=deployment, revision=active, state=RolloutState.SUCCEEDED
    ).first()
    if rollout is None or rollout.back or rollout.previous_id is None:
        return False
    if rollout.events.filter(kind="burnt").exists():
        return False
    before = Revision.objects.select_related("model_version", "approval").get(
        pk=rollout.previous_id
    )
    before.deployment = deployment
    if not _is_warm(deployment, before, replicas):
        return False
    figures = arm_figures(deployment.pk, new=active.pk, old=None, since=active.activated_at)
    limits = active.serving.model_copy(update={"max_slowdown": 0.0})
    why = why_bad(figures, limits)
    if not why or why_not_run(before):
        return False
    rollout_note(rollout, "burnt", why=why, **figures.plain())
    said = _("After the switch to r%(n)s: %(why)s") % {"n": active.number, "why": why}
    try:
        begin_rollout(deployment, before, SYSTEM, automatic=said)
    except WrongState:
        return False
    return True


def _is_warm(deployment: Deployment, before: Revision, replicas: list[Replica]) -> bool:
    if before.state != RevisionState.SUPERSEDED:
        return False
    if before.keep_until is None or before.keep_until <= now():
        return False
    ready = [r for r in replicas if r.revision_id == before.pk and r.state == ReplicaState.READY]
    return len(ready) >= wanted_replicas(deployment, before)
