"""Registers what workers can do. Loaded by every process; torch is imported inside `run` only."""

from django.apps import AppConfig

from models_app.core.catalog import import_all


class WorkersConfig(AppConfig):
    name = "workers"
    label = "workers"

    def ready(self) -> None:
        # Makes `current_app` of Celery ours in every process, so that services can send by name.
        from workers import celery  # noqa: F401

        import_all("workers.jobs")
