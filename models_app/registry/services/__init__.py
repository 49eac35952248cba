"""What is done to models, their versions and evaluations."""

from models_app.registry.services.conversions import (
    conversion_complete,
    conversion_fail,
    conversion_start,
)
from models_app.registry.services.evaluations import evaluation_complete, evaluation_start
from models_app.registry.services.models import (
    model_create,
    model_describe,
    version_note,
    version_quarantine,
    version_restore,
)
from models_app.registry.services.planning import TrainingPlan, training_plan
from models_app.registry.services.training import (
    training_rerun,
    training_start,
    version_complete,
    version_fail,
)

__all__ = [
    "TrainingPlan",
    "conversion_complete",
    "conversion_fail",
    "conversion_start",
    "evaluation_complete",
    "evaluation_start",
    "model_create",
    "model_describe",
    "training_plan",
    "training_rerun",
    "training_start",
    "version_complete",
    "version_fail",
    "version_note",
    "version_quarantine",
    "version_restore",
]
