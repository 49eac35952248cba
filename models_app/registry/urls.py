"""Addresses of the registry's API, under /api/v1/."""

from django.urls import path

from models_app.registry.api import (
    cards,
    continuing,
    evaluations,
    models,
    provenance,
    reproductions,
    training,
    versions,
)

urlpatterns = [
    path("models", models.ModelListApi.as_view(), name="api_model_list"),
    path("models/<int:pk>", models.ModelDetailApi.as_view(), name="api_model_detail"),
    path(
        "models/<int:pk>/versions", versions.VersionsOfModelApi.as_view(), name="api_model_versions"
    ),
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
        "model-versions/<int:pk>/quarantine",
        versions.QuarantineApi.as_view(),
        name="api_model_version_quarantine",
    ),
    path(
        "model-versions/<int:pk>/restore",
        versions.RestoreApi.as_view(),
        name="api_model_version_restore",
    ),
    path(
        "model-versions/<int:pk>/train-again",
        training.TrainingRerunApi.as_view(),
        name="api_model_version_rerun",
    ),
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
    path("evaluations", evaluations.EvaluationListApi.as_view(), name="api_evaluation_list"),
    path("evaluations/<int:pk>", evaluations.EvaluationDetailApi.as_view(), name="api_evaluation"),
    path(
        "evaluations/<int:pk>/scores", evaluations.ScoresApi.as_view(), name="api_evaluation_scores"
    ),
]
