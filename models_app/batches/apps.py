from django.apps import AppConfig


class BatchesConfig(AppConfig):
    name = "models_app.batches"
    label = "batches"
