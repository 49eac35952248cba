from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "models_app.approvals"
    label = "approvals"
