"""Addresses of the API of alerts, under /api/v1/."""

from django.urls import path

from models_app.alerts import api

urlpatterns = [
    path("alerts", api.AlertListApi.as_view(), name="api_alert_list"),
    path("alerts/<int:pk>", api.AlertDetailApi.as_view(), name="api_alert_detail"),
    path(
        "alerts/<int:pk>/acknowledge",
        api.AlertAcknowledgeApi.as_view(),
        name="api_alert_acknowledge",
    ),
]
