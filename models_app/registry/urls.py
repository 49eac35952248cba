"""Addresses of the registry's API, under /api/v1/."""

from django.urls import path

from models_app.registry.api import (
    aliases,
    attacks,
    bundles,
    cards,
    continuing,
    conversions,
    drills,
    evaluations,
    imports,
    models,
    provenance,
    registering,
    reproductions,
    run_comparing,
    run_files,
    runs,
    stages,
    tags,
    training,
    versions,
)

urlpatterns = [
    path("models", models.ModelListApi.as_view(), name="api_model_list"),
    path("models/<int:pk>", models.ModelDetailApi.as_view(), name="api_model_detail"),
    path(
        "models/<int:pk>/versions",
        registering.VersionsOfModelApi.as_view(),
        name="api_model_versions",
    ),
    path("models/<int:pk>/aliases", aliases.AliasListApi.as_view(), name="api_alias_list"),
    path("models/<int:pk>/aliases/<str:name>", aliases.AliasDetailApi.as_view(), name="api_alias"),
    path("models/<int:pk>/tags", tags.ModelTagsApi.as_view(), name="api_model_tags"),
    path("model-versions", versions.VersionListApi.as_view(), name="api_model_version_list"),
    path("model-versions/compare", versions.CompareApi.as_view(), name="api_model_version_compare"),
    path("model-versions/<int:pk>", versions.VersionDetailApi.as_view(), name="api_model_version"),
    path(
        "model-versions/<int:pk>/provenance",
        provenance.ProvenanceApi.as_view(),
        name="api_model_version_provenance",
    ),
    path(
        "model-versions/<int:pk>/provenance/verify",
        provenance.VerifyApi.as_view(),
        name="api_model_version_verify",
    ),
    path(
        "model-versions/<int:pk>/provenance/items/<path:name>",
        provenance.EvidenceApi.as_view(),
        name="api_model_version_evidence",
    ),
    path(
        "model-versions/<int:pk>/files/<path:path>",
        versions.FileApi.as_view(),
        name="api_model_version_file",
    ),
    path(
        "model-versions/<int:pk>/bundle",
        bundles.BundleApi.as_view(),
        name="api_model_version_bundle",
    ),
    path(
        "model-versions/<int:pk>/quarantine",
        versions.QuarantineApi.as_view(),
        name="api_model_version_quarantine",
    ),
    path(
        "model-versions/<int:pk>/give-up",
        registering.GiveUpApi.as_view(),
        name="api_model_version_give_up",
    ),
    path(
        "model-versions/<int:pk>/restore",
        versions.RestoreApi.as_view(),
        name="api_model_version_restore",
    ),
    path(
        "model-versions/<int:pk>/stage-transitions",
        stages.StageMoveListApi.as_view(),
        name="api_stage_moves",
    ),
    path(
        "model-versions/<int:pk>/stage-transitions/withdraw",
        stages.StageMoveWithdrawApi.as_view(),
        name="api_stage_move_withdraw",
    ),
    path("model-versions/<int:pk>/tags", tags.VersionTagsApi.as_view(), name="api_version_tags"),
    path(
        "model-versions/<int:pk>/train-again",
        training.TrainingRerunApi.as_view(),
        name="api_model_version_rerun",
    ),
    path("model-versions/<int:pk>/scan", imports.ScanApi.as_view(), name="api_model_version_scan"),
    path("imports", imports.ImportListApi.as_view(), name="api_import_list"),
    path("training-runs", training.TrainingListApi.as_view(), name="api_training_list"),
    path("training-runs/estimate", training.EstimateApi.as_view(), name="api_training_estimate"),
    path("models/<int:pk>/card-texts", cards.CardTextsApi.as_view(), name="api_model_card_texts"),
    path("model-versions/<int:pk>/card", cards.CardApi.as_view(), name="api_model_version_card"),
    path(
        "model-versions/<int:pk>/reproductions",
        reproductions.ReproductionsApi.as_view(),
        name="api_model_version_reproductions",
    ),
    path(
        "reproductions/<int:pk>", reproductions.ReproductionApi.as_view(), name="api_reproduction"
    ),
    path(
        "checkpoints/<int:pk>/continue",
        continuing.CheckpointContinueApi.as_view(),
        name="api_checkpoint_continue",
    ),
    path("training-runs/external", runs.RunExternalApi.as_view(), name="api_run_external"),
    path("training-runs/compare", run_comparing.RunCompareApi.as_view(), name="api_run_compare"),
    path("training-runs/export", runs.RunExportApi.as_view(), name="api_run_export"),
    path("training-runs/<int:pk>", runs.RunDetailApi.as_view(), name="api_training_run"),
    path("training-runs/<int:pk>/metrics", runs.RunMetricsApi.as_view(), name="api_run_metrics"),
    path("training-runs/<int:pk>/params", runs.RunParamsApi.as_view(), name="api_run_params"),
    path("training-runs/<int:pk>/files", run_files.RunFilesApi.as_view(), name="api_run_files"),
    path(
        "training-runs/<int:pk>/files/<path:path>",
        run_files.RunFileApi.as_view(),
        name="api_run_file",
    ),
    path("training-runs/<int:pk>/tags", tags.RunTagsApi.as_view(), name="api_run_tags"),
    path("training-runs/<int:pk>/end", runs.RunEndApi.as_view(), name="api_run_end"),
    path(
        "model-versions/<int:pk>/attacks",
        attacks.AttackListApi.as_view(),
        name="api_model_version_attacks",
    ),
    path("attacks/<int:pk>", attacks.AttackDetailApi.as_view(), name="api_attack"),
    path("drills", drills.DrillListApi.as_view(), name="api_drill_list"),
    path("drills/plans", drills.DrillPlansApi.as_view(), name="api_drill_plans"),
    path("conversions", conversions.ConversionListApi.as_view(), name="api_conversion_list"),
    path("conversions/formats", conversions.FormatListApi.as_view(), name="api_format_list"),
    path("conversions/<int:pk>", conversions.ConversionDetailApi.as_view(), name="api_conversion"),
    path("evaluations", evaluations.EvaluationListApi.as_view(), name="api_evaluation_list"),
    path(
        "evaluations/compare",
        evaluations.ComparisonApi.as_view(),
        name="api_evaluation_comparison",
    ),
    path("evaluations/<int:pk>", evaluations.EvaluationDetailApi.as_view(), name="api_evaluation"),
    path(
        "evaluations/<int:pk>/scores", evaluations.ScoresApi.as_view(), name="api_evaluation_scores"
    ),
    path(
        "evaluations/<int:pk>/scores.csv",
        evaluations.ScoresCsvApi.as_view(),
        name="api_evaluation_scores_csv",
    ),
]
