"""Addresses of the configurations' API, under /api/v1/."""

from django.urls import path

from models_app.configs import api

urlpatterns = [
    path("configs", api.ConfigListApi.as_view(), name="api_config_list"),
    path("configs/presets", api.PresetListApi.as_view(), name="api_config_presets"),
    path("configs/schema/<slug:kind>", api.SpecSchemaApi.as_view(), name="api_config_schema"),
    path("configs/<int:pk>", api.ConfigDetailApi.as_view(), name="api_config_detail"),
    path("configs/<int:pk>/revisions", api.RevisionListApi.as_view(), name="api_config_revisions"),
    path("config-revisions/<int:pk>", api.RevisionDetailApi.as_view(), name="api_config_revision"),
    path(
        "config-revisions/<int:pk>/diff/<int:other>",
        api.RevisionDiffApi.as_view(),
        name="api_config_diff",
    ),
]
