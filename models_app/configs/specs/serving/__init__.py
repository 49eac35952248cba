"""How a deployment serves a model version: its replicas, its engine, its traffic, its course."""

from models_app.configs.specs.serving.spec import ServingSpec

__all__ = ["ServingSpec"]
