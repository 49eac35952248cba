"""What people and workers do with deployments; one module per noun."""

from models_app.deployments.services.adapters import (
    deployment_adapter_add,
    deployment_adapter_remove,
)
from models_app.deployments.services.deployments import (
    deployment_change,
    deployment_create,
    deployment_start,
    deployment_stop,
)
from models_app.deployments.services.records import request_records_store
from models_app.deployments.services.revisions import (
    deployment_launch,
    deployment_scale,
    no_revision,
    revision_create,
)
from models_app.deployments.services.rollouts import (
    back_targets,
    roll_back,
    rolling_out,
    rollout_abort,
    rollout_start,
)
from models_app.deployments.services.steering import (
    golden_force,
    rollout_pause,
    rollout_promote,
    rollout_resume,
)
from models_app.deployments.services.waking import deployment_wake

__all__ = [
    "back_targets",
    "deployment_adapter_add",
    "deployment_adapter_remove",
    "deployment_change",
    "deployment_create",
    "deployment_launch",
    "deployment_scale",
    "deployment_start",
    "deployment_stop",
    "deployment_wake",
    "golden_force",
    "no_revision",
    "request_records_store",
    "revision_create",
    "roll_back",
    "rolling_out",
    "rollout_abort",
    "rollout_pause",
    "rollout_promote",
    "rollout_resume",
    "rollout_start",
]
