"""Addresses of the datasets' API, under /api/v1/."""

from django.urls import path

from models_app.datasets import api

urlpatterns = [
    path("datasets", api.DatasetListApi.as_view(), name="api_dataset_list"),
    path("datasets/<int:pk>", api.DatasetDetailApi.as_view(), name="api_dataset_detail"),
    path("datasets/<int:pk>/versions", api.VersionListApi.as_view(), name="api_dataset_versions"),
    path("dataset-versions/<int:pk>", api.VersionDetailApi.as_view(), name="api_dataset_version"),
    path("dataset-versions/<int:pk>/rows", api.VersionRowsApi.as_view(), name="api_dataset_rows"),
    path(
        "dataset-versions/<int:pk>/import-again",
        api.VersionReimportApi.as_view(),
        name="api_dataset_reimport",
    ),
]
