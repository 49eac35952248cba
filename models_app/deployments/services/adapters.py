"""One adapter more or less beside a base that serves: a new revision equal but for that."""

from collections.abc import Callable

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.core.permission import require
from models_app.deployments.adapters import adapter_named, adapters_of
from models_app.deployments.digest import differs_in_adapters
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.services.locking import locked, reconcile_soon
from models_app.deployments.services.revisions import revision_make
from models_app.deployments.services.rollouts import leave_rollout, rolling_out
from models_app.deployments.services.settings import Settings
from models_app.deployments.states import RevisionState
from models_app.registry.models import ModelVersion

Adapters = dict[str, ModelVersion]


@transaction.atomic
def deployment_adapter_add(
    *,
    actor: Actor,
    deployment: Deployment,
    name: str,
    model_version: ModelVersion,
    reason: str = "",
) -> Revision:
    """Serve one more adapter as `team/deployment:name`, without a new replica.

    Raises FieldError for the name or under `adapters`. A protected environment asks for approval.
    """
    require(actor, "deployments.change_deployment", deployment)

    def change(found: Adapters) -> Adapters:
        if name in found:
            said = _("There is an adapter %(name)r already. Remove it first, or choose a name.")
            raise FieldError("name", said % {"name": name})
        return {**found, name: model_version}

    return _changed(actor, deployment, change, reason or f"Add the adapter {name}")


@transaction.atomic
def deployment_adapter_remove(
    *, actor: Actor, deployment: Deployment, name: str, reason: str = ""
) -> Revision:
    """Serve it no longer; answers that are running with it finish first."""
    require(actor, "deployments.change_deployment", deployment)

    def change(found: Adapters) -> Adapters:
        adapter_named(found, name)
        return {key: version for key, version in found.items() if key != name}

    return _changed(actor, deployment, change, reason or f"Remove the adapter {name}")


def _changed(
    actor: Actor, deployment: Deployment, change: Callable[[Adapters], Adapters], reason: str
) -> Revision:
    row = locked(deployment)
    like = _like(row)
    like.deployment = row
    after = change(adapters_of(like))
    active = row.active_revision
    assert active is not None
    if like.pk != active.pk and after == adapters_of(active):
        # Nothing is left of what was on its way.
        leave_rollout(row, like, RevisionState.WITHDRAWN, "Its adapters were taken back.", actor)
        reconcile_soon()
        return active
    settings = Settings(spec=like.serving, base=like.config_revision, overlay=like.overlay_revision)
    return revision_make(
        actor,
        row,
        model_version=like.model_version,
        settings=settings,
        adapters=after,
        reason=reason[:2000],
    )


def _like(row: Deployment) -> Revision:
    """What serves, or what is on its way to: of two changes soon after each other both count."""
    active, coming = row.active_revision, rolling_out(row)
    if active is None:
        raise FieldError("name", _("Nothing serves yet, so there is nothing to add to."))
    if coming is not None and differs_in_adapters(active, coming):
        return coming
    return active
