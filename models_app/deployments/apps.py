from importlib import import_module

from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "models_app.deployments"
    label = "deployments"

    def ready(self) -> None:
        # Registers revisions as a subject of approvals, deployments as users of versions.
        import_module("models_app.deployments.subject")
        import_module("models_app.deployments.uses")
