from django.apps import AppConfig


class PoolsConfig(AppConfig):
    name = "models_app.pools"
    label = "pools"

    def ready(self) -> None:
        from models_app.core.clock import follow_database

        follow_database()
