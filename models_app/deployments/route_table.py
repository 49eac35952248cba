"""What the gateway may send where: the arms of each deployment, with the replicas that are ready.

An arm is a revision that gets requests: the active one, and during a roll-out the new one with its
share. One that a rule of a route names has no share and gets what that rule sends. Replicas of a
version in quarantine are never listed. A deployment without a ready replica is listed all the same,
so that its callers are told to wait rather than that it does not exist.
"""

from typing import Any

from django.db.models import F, Q

from models_app.configs.specs.serving.traffic import TrafficSettings
from models_app.deployments.digest import SHORT
from models_app.deployments.holds import held_revisions
from models_app.deployments.models import Deployment, Replica, Revision, RevisionAdapter, Rollout
from models_app.deployments.states import ROLLOUT_LIVE, ReplicaState, RevisionState
from models_app.registry.states import VersionState

#: Every gateway reads the table every second: no more columns than it needs.
_ARM = (
    "number",
    "digest",
    "overlaid_spec",
    "deployment__active_revision_id",
    "config_revision__spec",
    "model_version__number",
    "model_version__model__name",
    "model_version__model__family",
    "model_version__model__team__slug",
)
_TRAFFIC = TrafficSettings().plain()


def route_table() -> list[dict[str, Any]]:
    """One row a deployment that is not stopped and has an active revision.

    `arms` begins with the active revision; `percent` of all arms together is 100, and
    `mirror_percent` says of how many requests a copy goes to that arm, whose answer nobody gets.
    """
    table = {row["deployment_id"]: row for row in _deployments()}
    shares = {
        row.revision_id: row
        for row in Rollout.objects.filter(state__in=ROLLOUT_LIVE, deployment_id__in=table)
    }
    arms = _arms(table, shares)
    _add_replicas(arms)
    _add_adapters(arms)
    for row in table.values():
        others = sum(arm["percent"] for arm in row["arms"][1:])
        row["arms"][0]["percent"] = 100 - others
    return [row for row in table.values() if row["arms"]]


def _deployments() -> list[dict[str, Any]]:
    rows = Deployment.objects.filter(
        stopped_at=None, active_revision__state=RevisionState.ACTIVE
    ).values_list("pk", "team_id", "team__slug", "name", "created_at", "scaled_to")
    return [
        {
            "deployment_id": pk,
            "team_id": team_id,
            "team": team,
            "name": f"{team}/{name}",
            "created": int(created_at.timestamp()),
            #: Scaled to zero: a request wakes it.
            "asleep": scaled_to == 0,
            "arms": [],
        }
        for pk, team_id, team, name, created_at, scaled_to in rows
    ]


def _arms(table: dict[int, Any], shares: dict[int, Rollout]) -> dict[int, dict[str, Any]]:
    active = Q(pk=F("deployment__active_revision_id"))
    named = Q(pk__in=[*shares, *held_revisions()])
    rows = Revision.objects.filter(active | named, deployment_id__in=table)
    found: dict[int, dict[str, Any]] = {}
    related = rows.select_related("model_version__model__team", "config_revision", "deployment")
    for revision in related.only(*_ARM).order_by("pk"):
        version, share = revision.model_version, shares.get(revision.pk)
        arm = {
            "revision_id": revision.pk,
            "number": revision.number,
            "digest": revision.digest,
            "fingerprint": revision.digest[:SHORT],
            "version": f"{version.model.team.slug}/{version.model.name}:v{version.number}",
            "family": version.model.family,
            "percent": share.percent if share else 0,
            "mirror_percent": share.mirror_percent if share else 0,
            "judge": _judge(revision, table[revision.deployment_id]["team"]) if share else None,
            "settings": _traffic(revision.spec_in_effect),
            "adapters": [],
            "replicas": [],
        }
        found[revision.pk] = arm
        place: list[Any] = table[revision.deployment_id]["arms"]
        # The active one first; during a roll-back it is not the one with the higher number.
        serves = revision.pk == revision.deployment.active_revision_id
        place.insert(0, arm) if serves else place.append(arm)
    return found


def _judge(revision: Revision, team: str) -> dict[str, str] | None:
    """Who says of the copies whether they are better, by its public name, and by what."""
    spec = revision.spec_in_effect
    if not spec.get("judge"):
        return None
    return {"name": f"{team}/{spec['judge']}", "by": spec.get("judge_by", "likelihood")}


def _traffic(spec: dict[str, Any]) -> dict[str, Any]:
    given = {name: spec[name] for name in _TRAFFIC if name in spec}
    return {**_TRAFFIC, **given, "max_slots": spec.get("max_slots", 16)}


def _add_replicas(arms: dict[int, dict[str, Any]]) -> None:
    ready = Replica.objects.filter(state=ReplicaState.READY, revision_id__in=arms).exclude(
        revision__model_version__state=VersionState.QUARANTINED
    )
    for pk, revision_id, epoch, host, port, node in ready.order_by("pk").values_list(
        "pk", "revision_id", "epoch", "host", "port", "job__node_name"
    ):
        row = {"id": pk, "epoch": epoch, "host": host, "port": port, "node": node or ""}
        arms[revision_id]["replicas"].append(row)


def _add_adapters(arms: dict[int, dict[str, Any]]) -> None:
    rows = RevisionAdapter.objects.filter(
        revision_id__in=arms, model_version__state=VersionState.READY
    ).order_by("name")
    for revision_id, name in rows.values_list("revision_id", "name"):
        arms[revision_id]["adapters"].append(name)
