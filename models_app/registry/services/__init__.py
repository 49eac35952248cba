"""What is done to models, their versions and evaluations."""

from models_app.registry.services.aliases import ANYWHERE, alias_delete, alias_set
from models_app.registry.services.attacks import attack_complete, attack_start
from models_app.registry.services.bundles import (
    base_stored,
    bundle_base,
    origin_record,
    version_bundle,
    version_exported,
)
from models_app.registry.services.cards import card_write
from models_app.registry.services.continuing import checkpoint_version, training_continue
from models_app.registry.services.conversions import (
    conversion_complete,
    conversion_fail,
    conversion_start,
)
from models_app.registry.services.drilling import drill_plan_set, drill_start, drills_due
from models_app.registry.services.evaluations import evaluation_complete, evaluation_start
from models_app.registry.services.experiments import (
    experiment_create,
    experiment_default,
    experiment_tag,
    logged_run_begin,
    logged_run_end,
    logged_run_read,
    logged_run_resume,
    logged_run_write,
    run_rename,
)
from models_app.registry.services.filling import version_give_up
from models_app.registry.services.importing import (
    model_create_imported,
    version_import,
    version_import_complete,
    version_import_fail,
)
from models_app.registry.services.logged_models import (
    logged_model_begin,
    logged_model_change,
    logged_model_register,
)
from models_app.registry.services.models import (
    model_create,
    model_describe,
    version_note,
    version_quarantine,
    version_restore,
)
from models_app.registry.services.planning import training_plan
from models_app.registry.services.registering import version_register
from models_app.registry.services.reproducing import (
    reproduction_complete,
    reproduction_fail,
    reproduction_plan,
    reproduction_start,
)
from models_app.registry.services.run_files import run_file_keep, run_file_path
from models_app.registry.services.runs import (
    run_begin,
    run_end,
    run_log_metrics,
    run_log_params,
)
from models_app.registry.services.scans import scan_record, version_scan
from models_app.registry.services.stages import stage_move_withdraw, version_stage_move
from models_app.registry.services.tags import tags_change
from models_app.registry.services.training import (
    training_rerun,
    training_start,
    version_complete,
    version_fail,
)

__all__ = [
    "ANYWHERE",
    "alias_delete",
    "alias_set",
    "attack_complete",
    "attack_start",
    "base_stored",
    "bundle_base",
    "card_write",
    "checkpoint_version",
    "conversion_complete",
    "conversion_fail",
    "conversion_start",
    "drill_plan_set",
    "drill_start",
    "drills_due",
    "evaluation_complete",
    "evaluation_start",
    "experiment_create",
    "experiment_default",
    "experiment_tag",
    "logged_model_begin",
    "logged_model_change",
    "logged_model_register",
    "logged_run_begin",
    "logged_run_end",
    "logged_run_read",
    "logged_run_resume",
    "logged_run_write",
    "model_create",
    "model_create_imported",
    "model_describe",
    "origin_record",
    "reproduction_complete",
    "reproduction_fail",
    "reproduction_plan",
    "reproduction_start",
    "run_begin",
    "run_end",
    "run_file_keep",
    "run_file_path",
    "run_log_metrics",
    "run_log_params",
    "run_rename",
    "scan_record",
    "stage_move_withdraw",
    "tags_change",
    "training_continue",
    "training_plan",
    "training_rerun",
    "training_start",
    "version_bundle",
    "version_complete",
    "version_exported",
    "version_fail",
    "version_give_up",
    "version_import",
    "version_import_complete",
    "version_import_fail",
    "version_note",
    "version_quarantine",
    "version_register",
    "version_restore",
    "version_scan",
    "version_stage_move",
]
