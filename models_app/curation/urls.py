"""Addresses of the API of quality, under /api/v1/."""

from django.urls import path

from models_app.curation import api

VERSION = "dataset-versions/<int:pk>"

urlpatterns = [
    path(f"{VERSION}/quality", api.QualityApi.as_view(), name="api_dataset_quality"),
    path(f"{VERSION}/prepare", api.PrepareApi.as_view(), name="api_dataset_prepare"),
    path(f"{VERSION}/prepare/preview", api.PreviewApi.as_view(), name="api_dataset_preview"),
    path(f"{VERSION}/waiver", api.WaiverApi.as_view(), name="api_dataset_waiver"),
    path("data-policies", api.DataPolicyListApi.as_view(), name="api_data_policy_list"),
    path("data-policies/schema", api.DataPolicySchemaApi.as_view(), name="api_data_policy_schema"),
    path("data-policies/<int:pk>", api.DataPolicyApi.as_view(), name="api_data_policy"),
]
