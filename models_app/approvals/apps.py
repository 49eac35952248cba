from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "models_app.approvals"
    label = "approvals"

    def ready(self) -> None:
        from models_app.approvals.selectors import environment_names
        from models_app.configs.environments import register

        register(environment_names)
