"""The whole of a serving configuration."""

from collections.abc import Mapping
from typing import Any, ClassVar

from models_app.configs.specs.advice import serving_warnings
from models_app.configs.specs.effects import serving_effects
from models_app.configs.specs.serving.engine import EngineSettings
from models_app.configs.specs.serving.replica import ReplicaSettings
from models_app.configs.specs.serving.rollout import RolloutSettings
from models_app.configs.specs.serving.scaling import (
    ScalingSettings,
    scaling_effects,
    scaling_warnings,
)
from models_app.configs.specs.serving.traffic import TrafficSettings


class ServingSpec(
    RolloutSettings, ScalingSettings, TrafficSettings, EngineSettings, ReplicaSettings
):
    """Fields come in the order of the bases from right to left."""

    overlaid: ClassVar[bool] = True
    folded: ClassVar[tuple[str, ...]] = tuple(
        name
        for part in (EngineSettings, TrafficSettings, ScalingSettings, RolloutSettings)
        for name in part.model_fields
    )

    @classmethod
    def effects(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
        scaled = scaling_effects(new)
        changed = {name: text for name, text in scaled.items() if old.get(name) != new.get(name)}
        return {**serving_effects(old, new), **changed}

    def warnings(self) -> dict[str, str]:
        return {**serving_warnings(self), **scaling_warnings(self)}
