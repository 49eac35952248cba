"""How many replicas a revision is to have now: fixed, or as scaling has decided within bounds."""

from models_app.configs.specs.serving.scaling import ScalingSettings
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.states import RevisionState


def scaling_of(revision: Revision) -> ScalingSettings:
    """The part of a revision's settings that says when it gets more replicas, and when fewer."""
    spec = revision.spec_in_effect
    return ScalingSettings(
        **{name: spec[name] for name in ScalingSettings.model_fields if name in spec}
    )


def is_scaled(revision: Revision) -> bool:
    """Whether the number of its replicas follows what it has to do."""
    return bool(revision.spec_in_effect.get("max_replicas", 0))


def wanted_replicas(deployment: Deployment, revision: Revision) -> int:
    """As many as the revision says, or between its bounds what scaling has decided last.

    A revision that rolls out has at least one, also while the deployment sleeps: it has to prove
    that it can serve.
    """
    if not is_scaled(revision):
        return int(revision.replicas)
    scaling = scaling_of(revision)
    number = revision.replicas if deployment.scaled_to is None else deployment.scaled_to
    least = scaling.min_replicas
    if revision.state == RevisionState.ROLLING_OUT:
        least = max(1, least)
    return int(max(least, min(number, scaling.max_replicas)))
