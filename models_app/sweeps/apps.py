from importlib import import_module

from django.apps import AppConfig


class SweepsConfig(AppConfig):
    name = "models_app.sweeps"
    label = "sweeps"

    def ready(self) -> None:
        # Hears of trainings that are over.
        import_module("models_app.sweeps.waking")
