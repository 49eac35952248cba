"""What is done to files for fine-tuning and to fine-tunings."""

from models_app.finetuning.services.files import file_add, file_delete
from models_app.finetuning.services.progress import tunings_advance
from models_app.finetuning.services.tunings import (
    tuning_cancel,
    tuning_pause,
    tuning_resume,
    tuning_start,
)

__all__ = [
    "file_add", "file_delete", "tuning_cancel", "tuning_pause", "tuning_resume", "tuning_start",
    "tunings_advance",
]  # fmt: skip
