"""Pages of configurations: list, revisions, comparison, form and YAML, overlays."""

from django.urls import path

from console.pages.configs import editing, overlays, views

ONE = "configs/<str:team>/<slug:kind>/<str:name>/"

urlpatterns = [
    path("configs/", views.config_list, name="config_list"),
    path("configs/new/", editing.config_new, name="config_new"),
    path("configs/compare/", views.config_compare, name="config_compare"),
    path(ONE, views.config_detail, name="config_detail"),
    path(f"{ONE}edit/", editing.config_edit, name="config_edit"),
    path(f"{ONE}r<int:number>/", views.config_revision, name="config_revision"),
    path(f"{ONE}r<int:number>/yaml/", views.config_yaml, name="config_yaml"),
    path(f"{ONE}overlays/<slug:environment>/", overlays.config_overlay, name="config_overlay"),
]
