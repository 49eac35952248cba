from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "models_app.alerts"
    label = "alerts"
