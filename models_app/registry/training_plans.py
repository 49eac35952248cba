"""What a training will take, as it is told before there is a job."""

from dataclasses import dataclass
from typing import Any

from models_app.configs.presets import Need
from models_app.configs.specs import Spec


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The checked settings with their consequences; `node_bytes` is None while no node is there.

    `tokens_seen` and `epochs` count passes over the same tokens as often as they happen.
    """

    spec: Spec
    need: Need
    tokens_seen: int
    dataset_tokens: int
    epochs: float
    node_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "parameters": self.need.parameters,
            "memory_bytes": self.need.total,
            "memory": dict(self.need.bytes),
            "node_memory_bytes": self.node_bytes,
            "tokens_seen": self.tokens_seen,
            "dataset_tokens": self.dataset_tokens,
            "epochs": round(self.epochs, 3),
        }
