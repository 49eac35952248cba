"""Everything that decides what comes out of a training, together with its data."""

from models_app.configs.specs.training.spec import TrainingSpec

__all__ = ["TrainingSpec"]
