"""Deployments as what runs on model versions: which do, and how they are made to stop."""

from django.db.models import Q
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.services.deployments import deployment_stop
from models_app.deployments.services.locking import announce
from models_app.deployments.services.rollouts import rollout_abort
from models_app.deployments.states import RevisionState
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family
from models_app.registry.use import Use, VersionUser, version_users

#: Revisions that answer, or are about to.
SERVING = (RevisionState.ACTIVE, RevisionState.ROLLING_OUT)

#: Whoever serves an adapter serves its base, too.
_adapter = Q(model_version__model__family=Family.ADAPTER)


@version_users.register
class ServingDeployments(VersionUser):
    """Deployments that answer with the version, or are being rolled out with it."""

    name = "deployment"

    def uses(self, version: ModelVersion) -> list[Use]:
        return [_use(revision, version) for revision in _revisions(version)]

    def version_ids(self, team_id: int) -> list[int]:
        rows = Revision.objects.filter(
            model_version__model__team=team_id, state__in=SERVING, deployment__stopped_at=None
        )
        versions = rows.values_list("model_version_id", flat=True)
        bases = rows.filter(_adapter).values_list("model_version__base_version_id", flat=True)
        beside = rows.filter(adapters__isnull=False).values_list(
            "adapters__model_version_id", flat=True
        )
        return list({*versions, *beside, *(pk for pk in bases if pk is not None)})

    def end(self, *, actor: Actor, version: ModelVersion, reason: str) -> list[Use]:
        """Stops what serves it; a roll-out is only aborted, for what serves meanwhile is sound."""
        revisions = _revisions(version)
        text = f"{version} was quarantined: {reason}"
        for revision in revisions:
            if revision.state == RevisionState.ACTIVE and _beside(revision, version):
                # Replicas unload what is not ready any more; the gateway stops to list it.
                announce(revision.deployment, routes=True)
            elif revision.state == RevisionState.ACTIVE:
                deployment_stop(actor=actor, deployment=revision.deployment, reason=text)
            else:
                rollout_abort(actor=actor, revision=revision, reason=text)
        return [_use(revision, version) for revision in revisions]


def _revisions(version: ModelVersion) -> list[Revision]:
    """One for each deployment, in the order in which deployments are locked: the active one, else
    the one that is coming in.
    """
    rows = Revision.objects.filter(
        Q(model_version=version)
        | Q(_adapter, model_version__base_version=version)
        | Q(adapters__model_version=version),
        state__in=SERVING,
        deployment__stopped_at=None,
    ).select_related("deployment__environment", "model_version")
    return list(rows.order_by("deployment_id", "state").distinct("deployment_id"))


def _beside(revision: Revision, version: ModelVersion) -> bool:
    """Whether the revision serves the version as one of its adapters, and not by itself."""
    own = (revision.model_version_id, revision.model_version.base_version_id)
    return version.pk not in own


def _use(revision: Revision, version: ModelVersion) -> Use:
    serves = revision.state == RevisionState.ACTIVE
    doing = _("r%(n)s serves it.") if serves else _("r%(n)s is being rolled out with it.")
    return Use(
        kind=ServingDeployments.name,
        id=revision.deployment_id,
        name=revision.deployment.name,
        environment=revision.deployment.environment.name,
        state=revision.state,
        doing=doing % {"n": revision.number},
        ending=_("The adapter is unloaded; the rest goes on being served.")
        if serves and _beside(revision, version)
        else _ending(revision.deployment, serves),
        lets_go=serves and _beside(revision, version),
    )


def _ending(deployment: Deployment, serves: bool) -> str:
    if serves:
        return _("The deployment is taken out of service.")
    if deployment.active_revision_id is None:
        return _("The roll-out is aborted.")
    return _("The roll-out is aborted; what serves now goes on serving.")
