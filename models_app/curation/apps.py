from importlib import import_module

from django.apps import AppConfig


class CurationConfig(AppConfig):
    name = "models_app.curation"
    label = "curation"

    def ready(self) -> None:
        # Registers waivers as a subject of approvals.
        import_module("models_app.curation.subject")
