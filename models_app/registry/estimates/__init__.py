"""What a training will take on each node: memory, time, energy, and where it fits.

See docs/reference/estimates.md.
"""

from models_app.registry.estimates.estimating import training_estimate
from models_app.registry.estimates.outcome import Place, TrainingEstimate

__all__ = ["Place", "TrainingEstimate", "training_estimate"]
