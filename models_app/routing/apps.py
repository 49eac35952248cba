from importlib import import_module

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "models_app.routing"
    label = "routing"

    def ready(self) -> None:
        # A deployment cannot take the name of a route; what rules name stays loaded.
        import_module("models_app.routing.claims")
        # Roll-outs count what judges said of their copies.
        import_module("models_app.routing.verdicts")
