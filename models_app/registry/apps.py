from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "models_app.registry"
    label = "registry"
