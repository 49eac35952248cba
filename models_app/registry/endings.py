"""Who wants to hear that the training of a version is over. Apps above append at start-up."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models_app.registry.models import ModelVersion

#: Each is called in the transaction that ends it, with the version; it must not fail.
training_endings: "list[Callable[[ModelVersion], None]]" = []


def training_ended(version: "ModelVersion") -> None:
    """Tell everybody."""
    for listener in training_endings:
        listener(version)
