"""Adapters that a revision serves beside its base: which may be, and which shall be loaded now."""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.specs import ServingSpec
from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.core.names import clean_slug
from models_app.core.permission import can_see
from models_app.deployments.models import Deployment, Revision
from models_app.registry.formats import is_adapter
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family, VersionState

#: Adapters of one revision.
MOST = 64
#: The greatest rank of one of them: each rank costs every token of every request a little.
MOST_RANK = 512
#: What the name of a version looks like: `team/model:v3` must stay that version.
VERSION_NAME = re.compile(r"v\d+")


def adapters_of(revision: Revision) -> dict[str, ModelVersion]:
    """By name; of a revision that is not stored yet there are none."""
    if revision.pk is None:
        return {}
    if "adapters" in getattr(revision, "_prefetched_objects_cache", {}):
        rows = sorted(revision.adapters.all(), key=lambda row: row.name)
    else:
        rows = list(revision.adapters.select_related("model_version__model__team").order_by("name"))
    return {row.name: row.model_version for row in rows}


def adapters_wanted(revision: Revision) -> dict[str, ModelVersion]:
    """Those that its replicas are to have loaded: all but what was taken out of use meanwhile."""
    return {
        name: version
        for name, version in adapters_of(revision).items()
        if version.state == VersionState.READY
    }


def adapters_check(
    actor: Actor,
    deployment: Deployment,
    base: ModelVersion,
    spec: ServingSpec,
    adapters: Mapping[str, ModelVersion],
) -> None:
    """FieldError under `adapters` for what cannot be served beside this version."""
    if not adapters:
        return
    if len(adapters) > MOST:
        said = _("One deployment serves at most %(most)s adapters; these are %(n)s.")
        raise FieldError("adapters", said % {"most": MOST, "n": len(adapters)})
    if base.model.family != Family.TRANSFORMER or is_adapter(base):
        said = _("Only a transformer that is whole by itself serves adapters; %(version)s is not.")
        raise FieldError("adapters", said % {"version": base})
    if spec.backend != "slipway":
        raise FieldError("spec.backend", _("Only the engine “slipway” serves adapters."))
    for name, version in adapters.items():
        _check_name(name)
        _check_version(actor, deployment, base, version, f"adapters.{name}")


def _check_name(name: str) -> None:
    clean_slug(name, "adapters")
    if VERSION_NAME.fullmatch(name):
        said = _("%(name)s would look like a version in the name of the model. Choose another.")
        raise FieldError("adapters", said % {"name": name})


def _check_version(
    actor: Actor, deployment: Deployment, base: ModelVersion, version: ModelVersion, field: str
) -> None:
    if not can_see(actor, version) or version.team_id != deployment.team_id:
        raise FieldError(field, _("There is no such version in this team."))
    if version.model.family != Family.ADAPTER or not is_adapter(version):
        said = _("%(version)s is no adapter. Deploy it by itself.")
        raise FieldError(field, said % {"version": version})
    version.refresh_from_db(fields=["state"])
    if version.state != VersionState.READY:
        said = _("%(version)s is “%(state)s”; only a ready version can be served.")
        words = {"version": version, "state": version.get_state_display()}
        raise FieldError(field, said % words)
    if version.base_version_id not in _same_weights(base):
        said = _("%(version)s was trained on %(base)s, but this deployment serves %(serves)s.")
        words = {"version": version, "base": version.base_version or "–", "serves": base}
        raise FieldError(field, said % words)
    rank = (version.facts or {}).get("rank")
    if isinstance(rank, int) and rank > MOST_RANK:
        said = _("%(version)s has rank %(rank)s; beside its base at most %(most)s is served.")
        words = {"version": version, "rank": rank, "most": MOST_RANK}
        raise FieldError(field, said % words)


def _same_weights(base: ModelVersion) -> set[int | None]:
    """The version itself; for one with 8-bit weights also the one of which it was made."""
    found: set[int | None] = {base.pk}
    if base.format == "int8":
        found.add(base.source_version_id)
    return found - {None}


def adapter_named(adapters: Mapping[str, Any], name: str) -> None:
    """FieldError where there is none of this name."""
    if name not in adapters:
        said = _("There is no adapter %(name)r. Loaded: %(known)s.")
        words = {"name": name, "known": ", ".join(sorted(adapters)) or "–"}
        raise FieldError("name", said % words)
