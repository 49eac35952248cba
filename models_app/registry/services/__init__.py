"""What is done to models, their versions and evaluations."""

from models_app.registry.services.evaluations import evaluation_complete, evaluation_start
from models_app.registry.services.importing import (
    model_create_imported,
    version_import,
    version_import_complete,
    version_import_fail,
)
from models_app.registry.services.models import (
    model_create,
    model_describe,
    version_note,
    version_quarantine,
    version_restore,
)
from models_app.registry.services.planning import TrainingPlan, training_plan
from models_app.registry.services.scans import scan_record, version_scan
from models_app.registry.services.training import (
    training_rerun,
    training_start,
    version_complete,
    version_fail,
)

__all__ = [
    "TrainingPlan",
    "evaluation_complete",
    "evaluation_start",
    "model_create",
    "model_create_imported",
    "model_describe",
    "scan_record",
    "training_plan",
    "training_rerun",
    "training_start",
    "version_complete",
    "version_fail",
    "version_import",
    "version_import_complete",
    "version_import_fail",
    "version_note",
    "version_quarantine",
    "version_restore",
    "version_scan",
]
