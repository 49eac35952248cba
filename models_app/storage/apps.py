from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class StorageConfig(AppConfig):
    name = "models_app.storage"
    label = "storage"

    def ready(self) -> None:
        from models_app.storage.checks import store_require

        # What every start of an installation goes through, even where checks are skipped for speed.
        pre_migrate.connect(store_require, sender=self)
