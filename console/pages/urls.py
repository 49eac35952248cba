"""Browser pages, by area. Each area is a module with its own `urlpatterns`."""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

AREAS = [
    "overview",
    "approvals",
    "registry",
    "runs",
    "sweeps",
    "datasets",
    "configs",
    "jobs",
    "deployments",
    "routes",
    "batches",
    "playground",
    "nodes",
    "pools",
    "storage",
    "alerts",
    "search",
    "side_bar",
]


urlpatterns: list[URLPattern | URLResolver] = [
    path("", include(f"console.pages.{area}"))
    for area in AREAS
    if find_spec(f"console.pages.{area}")
]
