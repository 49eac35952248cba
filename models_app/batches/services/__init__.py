"""What people and programs do with batches."""

from models_app.batches.services.ending import batch_completed, batches_collect
from models_app.batches.services.starting import batch_cancel, batch_of_rows, batch_start

__all__ = ["batch_cancel", "batch_completed", "batch_of_rows", "batch_start", "batches_collect"]
