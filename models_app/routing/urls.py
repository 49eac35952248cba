"""Addresses of the API of routes, under /api/v1/."""

from django.urls import path

from models_app.routing.api import asking, resources

ONE = "routes/<int:pk>"

urlpatterns = [
    path("routes", resources.RouteListApi.as_view(), name="api_route_list"),
    path("routes/schema", asking.RouteSchemaApi.as_view(), name="api_route_schema"),
    path(ONE, resources.RouteDetailApi.as_view(), name="api_route_detail"),
    path(f"{ONE}/revisions", resources.RouteRevisionListApi.as_view(), name="api_route_revisions"),
    path(
        f"{ONE}/revisions/<int:number>",
        resources.RouteRevisionDetailApi.as_view(),
        name="api_route_revision",
    ),
    path(f"{ONE}/diff", asking.RouteDiffApi.as_view(), name="api_route_diff"),
    path(f"{ONE}/rollback", resources.RouteRollbackApi.as_view(), name="api_route_rollback"),
    path(f"{ONE}/explain", asking.ExplainApi.as_view(), name="api_route_explain"),
    path(f"{ONE}/figures", asking.RouteFiguresApi.as_view(), name="api_route_figures"),
]
