from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "models_app.jobs"
    label = "jobs"
