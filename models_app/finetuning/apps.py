from django.apps import AppConfig


class FinetuningConfig(AppConfig):
    name = "models_app.finetuning"
    label = "finetuning"
