"""The REST API under /api/v1/, one module of URLs for each domain app."""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

APPS = [
    "jobs",
    "pools",
    "datasets",
    "configs",
    "curation",
    "registry",
    "sweeps",
    "approvals",
    "deployments",
    "routing",
    "batches",
    "alerts",
    "audit",
    "storage",
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include(f"models_app.{app}.urls"))
    for app in APPS
    if find_spec(f"models_app.{app}.urls")
]
