from django.apps import AppConfig


class StorageConfig(AppConfig):
    name = "models_app.storage"
    label = "storage"

    def ready(self) -> None:
        from models_app.storage import checks  # noqa: F401  (registers them)
