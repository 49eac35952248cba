"""Deployments, their immutable revisions, what serves them, and what became of calls."""

from models_app.deployments.models.deployment import Deployment, Revision, RevisionAdapter
from models_app.deployments.models.replica import Replica
from models_app.deployments.models.request import RequestRecord
from models_app.deployments.models.rollout import GoldenAnswer, Rollout, RolloutEvent
from models_app.deployments.models.scaling import ScalingEvent

__all__ = [
    "Deployment", "GoldenAnswer", "Replica", "RequestRecord", "Revision", "RevisionAdapter",
    "Rollout", "RolloutEvent", "ScalingEvent",
]  # fmt: skip
