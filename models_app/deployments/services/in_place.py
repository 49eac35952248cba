"""Roll-outs in place: replicas that run load and unload adapters instead of being replaced.

Where a revision differs from the active one in its adapters alone, the replicas of the active one
are told to have the new ones. Each says what it has; once all of them have exactly what is wanted,
they belong to the new revision, which is activated in the same transaction.
"""

import datetime as dt
from dataclasses import dataclass

from django.utils.translation import gettext as _

from models_app.core.clock import now
from models_app.deployments.adapters import adapters_wanted
from models_app.deployments.digest import differs_in_adapters
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.services.course import live_rollout
from models_app.deployments.services.locking import golden_soon
from models_app.deployments.services.rollouts import rollout_activate, rollout_fail
from models_app.deployments.states import GOLDEN_PASSED, Golden, ReplicaState, RevisionState
from models_app.jobs.signals import send_look_on_commit
from models_app.registry.models import ModelVersion

#: All replicas must have the adapters within this time.
LIMIT = dt.timedelta(minutes=5)
#: Those that will have what the revision wants when they are ready.
COMING = (ReplicaState.PENDING, ReplicaState.LOADING, ReplicaState.CRASHED)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a replica is to serve: the revision that it answers for, and adapters by name."""

    revision: Revision
    adapters: dict[str, ModelVersion]


def replica_wish(replica: Replica) -> Wish:
    """What this replica is to have now: its revision's adapters, or those that are coming in."""
    revision = replica.revision
    coming = Revision.objects.filter(
        deployment=revision.deployment_id, state=RevisionState.ROLLING_OUT
    ).select_related("deployment", "model_version", "config_revision__config")
    for row in coming:
        if revision.state == RevisionState.ACTIVE and differs_in_adapters(revision, row):
            return Wish(revision=revision, adapters=adapters_wanted(row))
    return Wish(revision=revision, adapters=adapters_wanted(revision))


def roll_out_in_place(deployment: Deployment, revision: Revision, live: list[Replica]) -> bool:
    """Under the deployment's lock: one round of a roll-out. False: it takes new replicas."""
    active = deployment.active_revision
    if active is None or not differs_in_adapters(active, revision):
        return False
    mine = [r for r in live if r.revision_id == active.pk]
    ready = [r for r in mine if r.state == ReplicaState.READY]
    coming = [r for r in mine if r.state in COMING]
    if not ready and not coming:
        return False
    lacking = _lacking(revision, ready)
    problem = _problem(revision, ready, lacking) or _other_answers(deployment)
    if problem:
        rollout_fail(deployment, revision, problem)
        _look(ready)
    elif ready and not lacking and _proved(deployment):
        _take_over(deployment, revision, [*ready, *coming])
    else:
        _look(lacking)
    return True


def _proved(deployment: Deployment) -> bool:
    """Whether stored answers are the same, on the way back; until they are asked, nothing moves."""
    rollout = live_rollout(deployment)
    if rollout is None or rollout.golden in GOLDEN_PASSED:
        return True
    if rollout.golden == Golden.DUE:
        golden_soon()
    return False


def _other_answers(deployment: Deployment) -> str:
    rollout = live_rollout(deployment)
    return rollout.verdict if rollout is not None and rollout.golden == Golden.DIFFERENT else ""


def in_place_replica(revision: Revision) -> Replica | None:
    """One that serves the active revision and has all of this one's adapters; None without."""
    active = revision.deployment.active_revision
    if active is None or not differs_in_adapters(active, revision):
        return None
    ready = Replica.objects.filter(revision=active, state=ReplicaState.READY)
    rows = list(ready.select_related("revision__deployment__team").order_by("pk"))
    lacking = _lacking(revision, rows)
    return next((row for row in rows if row not in lacking), None)


def in_place_ready(revision: Revision, live: list[Replica]) -> int | None:
    """How many replicas have all that a revision brings; None: it takes new replicas."""
    active = revision.deployment.active_revision
    if active is None or not differs_in_adapters(active, revision):
        return None
    ready = [r for r in live if r.revision_id == active.pk and r.state == ReplicaState.READY]
    return len(ready) - len(_lacking(revision, ready))


def _take_over(deployment: Deployment, revision: Revision, replicas: list[Replica]) -> None:
    """They are the new revision's from the moment in which it serves; refused, they stay."""
    rows = Replica.objects.filter(pk__in=[r.pk for r in replicas])
    before = deployment.active_revision
    rows.update(revision=revision)
    if not rollout_activate(deployment, revision):
        rows.update(revision=before)
    _look(replicas)


def _lacking(revision: Revision, ready: list[Replica]) -> list[Replica]:
    wanted = {name: version.pk for name, version in adapters_wanted(revision).items()}
    return [r for r in ready if (r.adapters or {}).get("loaded", {}) != wanted]


def _problem(revision: Revision, ready: list[Replica], lacking: list[Replica]) -> str:
    wanted = adapters_wanted(revision)
    for replica in ready:
        for name, (version, why) in (replica.adapters or {}).get("failed", {}).items():
            if name in wanted and wanted[name].pk == version:
                said = _("The adapter %(name)s, %(version)s, could not be loaded: %(why)s")
                return said % {"name": name, "version": wanted[name], "why": why}
    started = revision.rollout_started_at or revision.created_at
    if lacking and now() - started > LIMIT:
        said = _("%(n)s of %(all)s replicas did not have the adapters after %(minutes)s minutes.")
        minutes = int(LIMIT.total_seconds() // 60)
        return said % {"n": len(lacking), "all": len(ready), "minutes": minutes}
    return ""


def _look(replicas: list[Replica]) -> None:
    """Tell their supervisors; without that they look at the next sign of life."""
    for replica in replicas:
        if replica.job is not None and replica.job.node_name:
            send_look_on_commit(replica.job)
