"""Pages of routes: list, new, one route with its rules, its tester and its history."""

from django.urls import path

from console.pages.routes import actions, editing, views

ONE = "routes/<str:team>/<str:name>/"

urlpatterns = [
    path("routes/", views.route_list, name="route_list"),
    path("routes/new/", editing.route_new, name="route_new"),
    path(ONE, views.route_detail, name="route_detail"),
    path(f"{ONE}edit/", editing.route_edit, name="route_edit"),
    path(f"{ONE}revisions/<int:number>/", views.route_revision, name="route_revision"),
    path(f"{ONE}roll-back/", actions.back, name="route_roll_back"),
    path(f"{ONE}switch/", actions.switch, name="route_switch"),
    path(f"{ONE}remove/", actions.remove, name="route_remove"),
]
