"""Pages of models: list, model, version, comparison, trainings and evaluations."""

from django.urls import path

from console.pages.registry import (
    actions,
    attacks,
    catalogue,
    conversions,
    drills,
    evaluation_comparison,
    evaluation_list,
    evaluations,
    explaining,
    filling,
    importing,
    markov,
    training,
    views,
)

ONE = "models/<str:team>/<str:name>/"
VERSION = f"{ONE}versions/<int:number>/"

urlpatterns = [
    path("models/", views.model_list, name="model_list"),
    path("models/new/", actions.model_new, name="model_new"),
    path("models/import/", importing.model_import, name="model_import"),
    path("models/drills/", drills.drills, name="model_drills"),
    path("models/drills/plan/", drills.drill_plan, name="model_drill_plan"),
    path(ONE, views.model_detail, name="model_detail"),
    path(f"{ONE}compare/", views.model_compare, name="model_compare"),
    path(f"{ONE}describe/", actions.model_describe_view, name="model_describe"),
    path(f"{ONE}aliases/", catalogue.alias_change, name="model_alias"),
    path(f"{ONE}aliases/delete/", catalogue.alias_remove, name="model_alias_delete"),
    path(f"{ONE}tags/", catalogue.model_tags, name="model_tags"),
    path(f"{VERSION}stage/", catalogue.stage_move, name="model_version_stage"),
    path(
        f"{VERSION}stage/withdraw/",
        catalogue.stage_withdraw,
        name="model_version_stage_withdraw",
    ),
    path(f"{VERSION}tags/", catalogue.version_tags, name="model_version_tags"),
    path(VERSION, views.model_version, name="model_version"),
    path(f"{VERSION}files/<path:path>", views.model_version_file, name="model_version_file"),
    path(f"{VERSION}bundle/", views.model_version_bundle, name="model_version_bundle"),
    path(f"{VERSION}notes/", actions.notes, name="model_version_notes"),
    path(f"{VERSION}quarantine/", actions.quarantine, name="model_version_quarantine"),
    path(f"{VERSION}scan/", importing.scan, name="model_version_scan"),
    path(f"{VERSION}attack/", attacks.attack, name="model_version_attack"),
    path(f"{VERSION}restore/", actions.restore, name="model_version_restore"),
    path(f"{VERSION}give-up/", filling.give_up, name="model_version_give_up"),
    path(f"{VERSION}again/", actions.again, name="model_version_again"),
    path(f"{VERSION}card/", explaining.card_save, name="model_version_card"),
    path(f"{VERSION}reproduce/", explaining.reproduce, name="model_version_reproduce"),
    path("lineage/", explaining.lineage_page, name="lineage"),
    path(
        "checkpoints/<int:pk>/continue/", explaining.checkpoint_continue, name="checkpoint_continue"
    ),
    path("checkpoints/<int:pk>/keep/", explaining.checkpoint_keep, name="checkpoint_keep"),
    path("checkpoints/<int:pk>/file/", explaining.checkpoint_file, name="checkpoint_file"),
    path(f"{VERSION}convert/", conversions.conversion_new, name="conversion_new"),
    path("conversions/<int:pk>/", conversions.conversion_detail, name="conversion_detail"),
    path("training/new/", training.training_new, name="training_new"),
    path("training/plan/", training.training_plan_view, name="training_plan"),
    path("training/new/<slug:family>/", markov.markov_new, name="markov_new"),
    path("training/plan/<slug:family>/", markov.markov_plan, name="markov_plan"),
    path("evaluations/", evaluation_list.evaluation_list, name="evaluation_list"),
    path(
        "evaluations/compare/",
        evaluation_comparison.evaluation_compare,
        name="evaluation_compare",
    ),
    path("evaluations/new/", evaluations.evaluation_new, name="evaluation_new"),
    path("evaluations/<int:pk>/", evaluations.evaluation_detail, name="evaluation_detail"),
]
