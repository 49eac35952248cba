"""Revisions: what a deployment shall run, made immutable at once.

Scaling makes a new revision too, in every environment: the number of replicas is part of what is
approved, the history shows it, and a roll-back takes it back.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.approvals.models import Environment
from models_app.audit.services import audit_record
from models_app.configs.models import ConfigRevision
from models_app.configs.services import config_revise
from models_app.configs.specs import ServingSpec
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import FieldError, NotFound
from models_app.core.names import clean_text
from models_app.core.permission import can_see, require
from models_app.core.states import advance
from models_app.deployments.adapters import adapters_check, adapters_of
from models_app.deployments.digest import revision_digest
from models_app.deployments.drafts import draft_check
from models_app.deployments.footprint import check_pool
from models_app.deployments.judges import judge_check
from models_app.deployments.models import Deployment, Revision, RevisionAdapter
from models_app.deployments.services.backends import backend_check
from models_app.deployments.services.deployments import deployment_create
from models_app.deployments.services.locking import announce, locked
from models_app.deployments.services.rollouts import begin_rollout
from models_app.deployments.services.scaling import deployment_hold
from models_app.deployments.services.settings import Settings, chosen_settings
from models_app.deployments.services.standing import ask_again
from models_app.deployments.splitting import split_check
from models_app.deployments.states import ALLOWED, RevisionState
from models_app.deployments.wanted import is_scaled
from models_app.registry.adapters import adapter_check
from models_app.registry.formats import format_check
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState


@transaction.atomic
def revision_create(
    *,
    actor: Actor,
    deployment: Deployment,
    model_version: ModelVersion,
    spec: ServingSpec | Mapping[str, Any] | None = None,
    config_revision: ConfigRevision | None = None,
    adapters: Mapping[str, ModelVersion] | None = None,
    reason: str = "",
) -> Revision:
    """Make the next revision. A protected environment asks for approval; elsewhere it rolls out.

    Its settings are `spec`, or those of `config_revision` with the overlay that the environment
    has now; both are recorded. Without `adapters` it has those of the active revision, if it serves
    the same version. Raises InvalidInput for the version, for `adapters`, or with the path of a
    setting under `spec`.
    """
    require(actor, "deployments.change_deployment", deployment)
    row = locked(deployment)
    settings = chosen_settings(actor, row, spec, config_revision)
    if adapters is None:
        adapters = _kept_adapters(row, model_version)
    return revision_make(
        actor, row, model_version=model_version, settings=settings, adapters=adapters, reason=reason
    )


def revision_make(
    actor: Actor,
    row: Deployment,
    *,
    model_version: ModelVersion,
    settings: Settings,
    adapters: Mapping[str, ModelVersion],
    reason: str,
) -> Revision:
    """Under the deployment's lock, with settings that are checked."""
    checked = settings.spec
    _check_version(actor, row, model_version, checked)
    adapters_check(actor, row, model_version, checked, adapters)
    draft_check(actor, row, model_version, checked)
    judge_check(actor, row, checked)
    split_check(row.team, model_version, checked)
    check_pool(row.team, model_version, checked)
    revision = Revision(
        deployment=row,
        number=(row.revisions.aggregate(top=Max("number"))["top"] or 0) + 1,
        model_version=model_version,
        config_revision=settings.base or _own_config(actor, row, checked),
        overlay_revision=settings.overlay,
        overlaid_spec=checked.plain() if settings.overlay else None,
        replicas=checked.replicas,
        reason=clean_text(reason, "reason", limit=2000),
        created_by_id=actor.pk,
    )
    revision.digest = revision_digest(revision, adapters)
    _check_is_new(row, revision)
    revision.save()
    for name, version in adapters.items():
        RevisionAdapter.objects.create(revision=revision, name=name, model_version=version)
    changes = {"digest": revision.digest, "version": str(model_version), **checked.plain()}
    if adapters:
        changes["adapters"] = {name: str(version) for name, version in adapters.items()}
    audit_record(actor=actor, action="revision.created", obj=revision, changes=changes)
    _send_on(actor, revision)
    announce(row)
    return revision


@transaction.atomic
def deployment_launch(
    *,
    actor: Actor,
    team: Any,
    name: str,
    environment: Environment,
    description: str,
    model_version: ModelVersion,
    spec: ServingSpec | Mapping[str, Any] | None = None,
    config_revision: ConfigRevision | None = None,
    adapters: Mapping[str, ModelVersion] | None = None,
    reason: str = "",
) -> Deployment:
    """A deployment with its first revision: both, or neither."""
    deployment = deployment_create(
        actor=actor, team=team, name=name, environment=environment, description=description
    )
    revision_create(
        actor=actor, deployment=deployment, model_version=model_version, spec=spec,
        config_revision=config_revision, adapters=adapters, reason=reason,
    )  # fmt: skip
    return deployment


@transaction.atomic
def deployment_scale(
    *, actor: Actor, deployment: Deployment, replicas: int, reason: str = "", for_s: int = 3600
) -> Revision:
    """The active revision with another number of replicas, as a new revision.

    Where it scales by itself, the bounds are what was approved: the number changes at once within
    them, stays the least for `for_s` seconds, and the active revision is returned.
    """
    require(actor, "deployments.change_deployment", deployment)
    active = locked(deployment).active_revision
    if active is None:
        raise FieldError("replicas", _("Nothing serves yet, so there is nothing to scale."))
    if is_scaled(active):
        row = deployment_hold(
            actor=actor, deployment=deployment, replicas=replicas, for_s=for_s, reason=reason
        )
        active.deployment = row
        return active
    return revision_create(
        actor=actor,
        deployment=deployment,
        model_version=active.model_version,
        spec={**active.spec_in_effect, "replicas": replicas},
        reason=reason or f"Scale from {active.replicas} to {replicas} replicas",
    )


def _kept_adapters(row: Deployment, version: ModelVersion) -> dict[str, ModelVersion]:
    active = row.active_revision
    if active is None or active.model_version_id != version.pk:
        return {}
    return adapters_of(active)


def _own_config(actor: Actor, row: Deployment, spec: ServingSpec) -> ConfigRevision:
    """Settings that were given by hand become the configuration that is named like it."""
    # A token that may deploy may write the configuration of its deployment, and no other.
    author = actor if actor.has_perm("configs.add_config", row.team) else SYSTEM
    return config_revise(actor=author, team=row.team, kind="serving", name=row.name, spec=spec)


def _check_version(
    actor: Actor, deployment: Deployment, version: ModelVersion, spec: ServingSpec
) -> None:
    if not can_see(actor, version) or version.team_id != deployment.team_id:
        raise FieldError("model_version", _("There is no such version in this team."))
    version.refresh_from_db(fields=["state"])
    if version.state != VersionState.READY:
        said = _("%(version)s is “%(state)s”; only a ready version can be deployed.")
        words = {"version": version, "state": version.get_state_display()}
        raise FieldError("model_version", said % words)
    format_check(version, "serve", "model_version")
    adapter_check(version, "serve", "model_version")
    backend_check(version, spec)
    if version.format == "int8" and spec.dtype != "fp32":
        raise FieldError("spec.dtype", _("8-bit weights are served with fp32. Choose that."))


def _check_is_new(deployment: Deployment, revision: Revision) -> None:
    """Nothing to do is an error that says so, not a roll-out of the same."""
    active = deployment.active_revision
    if active is not None and active.digest == revision.digest and not deployment.stopped_at:
        said = _("r%(n)s serves exactly this; change something first.") % {"n": active.number}
        raise FieldError("model_version", said)


def _send_on(actor: Actor, revision: Revision) -> None:
    deployment = revision.deployment
    if deployment.environment.protected:
        title = f"Deploy {revision.model_version} to {deployment.name} as r{revision.number}"
        ask_again(actor, revision, title[:200], revision.reason)
        advance(revision, RevisionState.PENDING_APPROVAL, allowed=ALLOWED)
        return
    advance(revision, RevisionState.APPROVED, allowed=ALLOWED)
    if not deployment.stopped_at:
        begin_rollout(deployment, revision, actor)


def revision_of(deployment: Deployment, number: int) -> Revision:
    """A revision by its number, or NotFound."""
    row = deployment.revisions.filter(number=number).first()
    if row is None:
        raise NotFound(no_revision(deployment, number))
    return row


def no_revision(deployment: Deployment, number: int) -> str:
    """Said of a number that no revision has."""
    return _("%(name)s has no revision r%(n)s.") % {"name": deployment.name, "n": number}
