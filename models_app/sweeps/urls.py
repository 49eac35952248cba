"""Addresses of the API of sweeps, under /api/v1/."""

from django.urls import path

from models_app.sweeps.api import resources

urlpatterns = [
    path("sweeps", resources.SweepListApi.as_view(), name="api_sweep_list"),
    path("sweeps/<int:pk>", resources.SweepDetailApi.as_view(), name="api_sweep_detail"),
    path("sweeps/<int:pk>/trials", resources.TrialListApi.as_view(), name="api_sweep_trials"),
    path("sweeps/<int:pk>/pause", resources.SweepPauseApi.as_view(), name="api_sweep_pause"),
    path("sweeps/<int:pk>/resume", resources.SweepResumeApi.as_view(), name="api_sweep_resume"),
    path("sweeps/<int:pk>/stop", resources.SweepStopApi.as_view(), name="api_sweep_stop"),
]
