"""Pages of sweeps: what is searched, begin a search, look at its trials."""

from django.urls import path

from console.pages.sweeps import begin, views

urlpatterns = [
    path("sweeps/", views.sweep_list_view, name="sweep_list"),
    path("sweeps/new/", begin.sweep_new, name="sweep_new"),
    path("sweeps/<int:pk>/", views.sweep_detail, name="sweep_detail"),
    path("sweeps/<int:pk>/<slug:action>/", views.sweep_act, name="sweep_act"),
]
