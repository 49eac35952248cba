"""Addresses of the API of configurations, under /api/v1/."""

from django.urls import path

from models_app.configs.api import checks, overlays, resources

OVERLAY = "configs/<int:pk>/overlays/<slug:environment>"

urlpatterns = [
    path("configs", resources.ConfigListApi.as_view(), name="api_config_list"),
    path("configs/presets", checks.PresetListApi.as_view(), name="api_config_presets"),
    path("configs/validate", checks.ValidateApi.as_view(), name="api_config_validate"),
    path("configs/schema/<slug:kind>", checks.SpecSchemaApi.as_view(), name="api_config_schema"),
    path("configs/<int:pk>", resources.ConfigDetailApi.as_view(), name="api_config_detail"),
    path("configs/<int:pk>/diff", checks.ConfigDiffApi.as_view(), name="api_config_compare"),
    path(
        "configs/<int:pk>/revisions",
        resources.RevisionListApi.as_view(),
        name="api_config_revisions",
    ),
    path(OVERLAY, overlays.OverlayListApi.as_view(), name="api_config_overlays"),
    path(f"{OVERLAY}/effective", overlays.EffectiveApi.as_view(), name="api_config_effective"),
    path(
        "config-revisions/<int:pk>",
        resources.RevisionDetailApi.as_view(),
        name="api_config_revision",
    ),
    path(
        "config-revisions/<int:pk>/yaml",
        resources.RevisionYamlApi.as_view(),
        name="api_config_revision_yaml",
    ),
    path(
        "config-revisions/<int:pk>/diff/<int:other>",
        checks.RevisionDiffApi.as_view(),
        name="api_config_diff",
    ),
]
