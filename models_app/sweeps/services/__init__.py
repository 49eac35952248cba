"""What is done to sweeps: by people, and by the driver that the clock calls."""

from models_app.sweeps.services.control import sweep_pause, sweep_resume, sweep_stop
from models_app.sweeps.services.driving import sweep_advance, sweeps_advance
from models_app.sweeps.services.starting import sweep_start

__all__ = [
    "sweep_advance", "sweep_pause", "sweep_resume", "sweep_start", "sweep_stop", "sweeps_advance",
]  # fmt: skip
