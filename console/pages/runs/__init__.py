"""Pages of training runs: search with a filter, a picture of what was found, comparison."""

from django.urls import path

from console.pages.runs import comparing, views

urlpatterns = [
    path("runs/", views.run_list, name="run_list"),
    path("runs/compare/", comparing.run_compare, name="run_compare"),
    path("runs/export/", views.run_export, name="run_export"),
    path("runs/<int:pk>/files/<path:path>", views.run_file, name="run_file"),
    path("runs/<int:pk>/tags/", views.run_tags, name="run_tags"),
]
