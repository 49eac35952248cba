from django.apps import AppConfig


class ConfigsConfig(AppConfig):
    name = "models_app.configs"
    label = "configs"
