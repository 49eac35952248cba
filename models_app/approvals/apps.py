from importlib import import_module

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "models_app.approvals"
    label = "approvals"

    def ready(self) -> None:
        # Registers moves of model versions as a subject, and approvals as their gate.
        import_module("models_app.approvals.stages")
        from models_app.approvals.selectors import environment_names
        from models_app.configs.environments import register

        register(environment_names)
