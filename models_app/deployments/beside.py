"""The adapters of a deployment as people look at them: what serves, what comes, what goes."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from models_app.core.actor import Actor
from models_app.deployments.adapters import adapters_of
from models_app.deployments.digest import differs_in_adapters
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.selectors import replica_list
from models_app.deployments.services.rollouts import rolling_out
from models_app.deployments.states import ReplicaState
from models_app.registry.formats import is_adapter
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family, VersionState

#: What stands between an adapter and its being asked for.
LOADED, COMING, GOING, OUT_OF_USE = "loaded", "loading", "unloading", "out_of_use"


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One adapter: under which name, how it stands, and on how many replicas it is."""

    name: str
    model: str
    version: ModelVersion
    state: str
    loaded: int
    replicas: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, for programs."""
        return {
            "name": self.name,
            "model": self.model,
            "model_version": self.version.pk,
            "version": str(self.version),
            "state": self.state,
            "replicas_loaded": self.loaded,
            "replicas_ready": self.replicas,
        }


def adapter_list(*, actor: Actor, deployment: Deployment) -> list[Beside]:
    """By name: those of the active revision, and those that a roll-out in place brings."""
    active = deployment.active_revision
    if active is None:
        return []
    now, coming = adapters_of(active), _coming(deployment, active)
    after = now if coming is None else adapters_of(coming)
    replicas = list(
        replica_list(actor=actor, deployment=deployment).filter(
            revision=active, state=ReplicaState.READY
        )
    )
    found = []
    for name in sorted({*now, *after}):
        version = after.get(name) or now[name]
        loaded = sum(_has(replica, name, version) for replica in replicas)
        state = _state(now.get(name), after.get(name))
        found.append(
            Beside(
                name=name, model=f"{deployment.team.slug}/{deployment.name}:{name}",
                version=version, state=state, loaded=loaded, replicas=len(replicas),
            )
        )  # fmt: skip
    return found


def adapters_offered(*, actor: Actor, deployment: Deployment) -> list[ModelVersion]:
    """Ready adapters of the team that were trained on what serves, newest first per model."""
    active = deployment.active_revision
    if active is None or active.model_version.model.family != Family.TRANSFORMER:
        return []
    bases = {active.model_version_id}
    if active.model_version.format == "int8" and active.model_version.source_version_id:
        bases.add(active.model_version.source_version_id)
    rows = ModelVersion.objects.visible_to(actor).filter(
        Q(base_version__in=bases), model__team=deployment.team_id,
        model__family=Family.ADAPTER, state=VersionState.READY,
    ).select_related("model__team")  # fmt: skip
    return [row for row in rows.order_by("model__name", "-number")[:400] if is_adapter(row)]


def _coming(deployment: Deployment, active: Revision) -> Revision | None:
    row = rolling_out(deployment)
    return row if row is not None and differs_in_adapters(active, row) else None


def _has(replica: Replica, name: str, version: ModelVersion) -> bool:
    return bool((replica.adapters or {}).get("loaded", {}).get(name) == version.pk)


def _state(now: ModelVersion | None, after: ModelVersion | None) -> str:
    if after is None:
        return GOING
    if after.state != VersionState.READY:
        return OUT_OF_USE
    return LOADED if now == after else COMING
