from importlib import import_module

from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "models_app.deployments"
    label = "deployments"

    def ready(self) -> None:
        # Registers revisions as a subject of approvals.
        import_module("models_app.deployments.subject")
