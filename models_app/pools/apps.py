from django.apps import AppConfig


class PoolsConfig(AppConfig):
    name = "models_app.pools"
    label = "pools"
