"""Addresses below `/mlflow/`, as MLflow's own server has them."""

from django.urls import path, re_path

from console.mlflow import (
    artifacts,
    experiments,
    logged,
    reading,
    registered,
    runs,
    versions,
    writing,
)

API = "api/2.0/mlflow"
FILES = "api/2.0/mlflow-artifacts/artifacts"

urlpatterns = [
    path(f"{API}/experiments/get-by-name", experiments.ExperimentByNameApi.as_view()),
    path(f"{API}/experiments/get", experiments.ExperimentApi.as_view()),
    path(f"{API}/experiments/create", experiments.ExperimentCreateApi.as_view()),
    path(f"{API}/experiments/search", experiments.ExperimentSearchApi.as_view()),
    path(f"{API}/experiments/set-experiment-tag", experiments.ExperimentTagApi.as_view()),
    path(f"{API}/runs/create", runs.RunCreateApi.as_view()),
    path(f"{API}/runs/get", runs.RunApi.as_view()),
    path(f"{API}/runs/update", runs.RunUpdateApi.as_view()),
    path(f"{API}/runs/search", runs.RunSearchApi.as_view()),
    path(f"{API}/runs/delete", runs.RunDeleteApi.as_view()),
    path(f"{API}/runs/restore", runs.RunDeleteApi.as_view()),
    path(f"{API}/runs/log-batch", writing.BatchApi.as_view()),
    path(f"{API}/runs/log-metric", writing.MetricApi.as_view()),
    path(f"{API}/runs/log-parameter", writing.ParamApi.as_view()),
    path(f"{API}/runs/set-tag", writing.TagApi.as_view()),
    path(f"{API}/runs/delete-tag", writing.TagDeleteApi.as_view()),
    path(f"{API}/runs/log-inputs", writing.InputsApi.as_view()),
    path(f"{API}/metrics/get-history", reading.MetricHistoryApi.as_view()),
    path(f"{API}/metrics/get-history-bulk-interval", reading.BulkIntervalApi.as_view()),
    path(f"{API}/runs/outputs", logged.OutputsApi.as_view()),
    path(f"{API}/logged-models", logged.LoggedModelsApi.as_view()),
    path(f"{API}/logged-models/search", logged.LoggedModelSearchApi.as_view()),
    path(f"{API}/logged-models/<str:model_id>", logged.LoggedModelApi.as_view()),
    path(f"{API}/logged-models/<str:model_id>/tags", logged.LoggedModelTagsApi.as_view()),
    path(f"{API}/logged-models/<str:model_id>/params", logged.LoggedModelParamsApi.as_view()),
    path(f"{API}/registered-models/create", registered.ModelCreateApi.as_view()),
    path(f"{API}/registered-models/get", registered.ModelApi.as_view()),
    path(f"{API}/registered-models/search", registered.ModelSearchApi.as_view()),
    path(f"{API}/registered-models/get-latest-versions", registered.LatestVersionsApi.as_view()),
    path(f"{API}/registered-models/alias", registered.AliasApi.as_view()),
    path(f"{API}/model-versions/create", versions.VersionCreateApi.as_view()),
    path(f"{API}/model-versions/get", versions.VersionApi.as_view()),
    path(f"{API}/model-versions/get-download-uri", versions.VersionUriApi.as_view()),
    path(f"{API}/model-versions/search", versions.VersionSearchApi.as_view()),
    path(f"{API}/model-versions/set-tag", versions.VersionTagApi.as_view()),
    path(f"{API}/model-versions/transition-stage", versions.TransitionApi.as_view()),
    path("api/3.0/mlflow/server-info", reading.ServerApi.as_view()),
    path(FILES, artifacts.ArtifactListApi.as_view()),
    path(f"{FILES}/<path:path>", artifacts.ArtifactApi.as_view()),
    re_path(r"^", reading.UnknownApi.as_view()),
]
