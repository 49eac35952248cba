"""What is done to models, their versions and evaluations."""

from models_app.registry.services.cards import card_write
from models_app.registry.services.continuing import checkpoint_version, training_continue
from models_app.registry.services.evaluations import evaluation_complete, evaluation_start
from models_app.registry.services.models import (
    model_create,
    model_describe,
    version_note,
    version_quarantine,
    version_restore,
)
from models_app.registry.services.planning import TrainingPlan, training_plan
from models_app.registry.services.reproducing import (
    reproduction_complete,
    reproduction_drill,
    reproduction_fail,
    reproduction_plan,
    reproduction_start,
)
from models_app.registry.services.training import (
    training_rerun,
    training_start,
    version_complete,
    version_fail,
)

__all__ = [
    "TrainingPlan",
    "card_write",
    "checkpoint_version",
    "evaluation_complete",
    "evaluation_start",
    "model_create",
    "model_describe",
    "reproduction_complete",
    "reproduction_drill",
    "reproduction_fail",
    "reproduction_plan",
    "reproduction_start",
    "training_continue",
    "training_plan",
    "training_rerun",
    "training_start",
    "version_complete",
    "version_fail",
    "version_note",
    "version_quarantine",
    "version_restore",
]
