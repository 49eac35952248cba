"""Addresses of the registry's API, under /api/v1/."""

from django.urls import path

from models_app.registry.api import conversions, evaluations, models, training, versions

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
        versions.ProvenanceApi.as_view(),
        name="api_model_version_provenance",
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
    path("conversions", conversions.ConversionListApi.as_view(), name="api_conversion_list"),
    path("conversions/formats", conversions.FormatListApi.as_view(), name="api_format_list"),
    path("conversions/<int:pk>", conversions.ConversionDetailApi.as_view(), name="api_conversion"),
    path("evaluations", evaluations.EvaluationListApi.as_view(), name="api_evaluation_list"),
    path("evaluations/<int:pk>", evaluations.EvaluationDetailApi.as_view(), name="api_evaluation"),
    path(
        "evaluations/<int:pk>/scores", evaluations.ScoresApi.as_view(), name="api_evaluation_scores"
    ),
]
