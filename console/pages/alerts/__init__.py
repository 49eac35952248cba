"""Pages of alerts: what fires now, what fired, and saying that somebody looks after it."""

from django.urls import path

from console.pages.alerts import views

urlpatterns = [
    path("alerts/", views.alert_list, name="alert_list"),
    path("alerts/<int:pk>/acknowledge/", views.alert_acknowledge_view, name="alert_acknowledge"),
]
