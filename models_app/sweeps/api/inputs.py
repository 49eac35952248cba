"""What is sent to begin a sweep."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models_app.registry.api.training import PlanInput
from models_app.sweeps.checking import USUAL_FACTOR, Halving
from models_app.sweeps.space import Dimension

LARGEST = 1 << 31


class EarlyStoppingInput(BaseModel):
    """Asynchronous successive halving (ASHA): at `min_resource`, and at each `reduction_factor`
    times as many, only the best of so many go on. Resources are steps, or iterations of an HMM.
    """

    model_config = ConfigDict(extra="forbid")
    min_resource: int | None = Field(
        None,
        ge=0,
        le=LARGEST,
        description="Where trials are compared first; the first report if left out",
    )
    max_resource: int | None = Field(
        None, ge=0, le=LARGEST, description="How long a trial is; what the settings say if left out"
    )
    reduction_factor: int = Field(
        USUAL_FACTOR, ge=0, le=LARGEST, description="One in so many goes on"
    )

    def asked(self) -> Halving:
        """For the service."""
        return Halving(**self.model_dump())


class SweepInput(PlanInput):
    """A search for settings of a model of this name or id, which must exist."""

    model: str | int
    space: dict[str, Any] = Field(
        description="setting → {values: […]} or {low, high, log, step, points}",
        json_schema_extra={"additionalProperties": Dimension.model_json_schema()},
    )
    strategy: Literal["grid", "random", "tpe"] = Field(
        "random", description="How the settings of the next trial are chosen"
    )
    metric: str = Field("", max_length=60, description="What is compared; the validation loss")
    early_stopping: EarlyStoppingInput | None = None
    max_trials: int = 20
    parallel: int = Field(2, description="Most trials at the same time")
    seed: int = Field(0, description="Of the choice of settings")
    note: str = Field("", description="What it is for; one line")
    priority: int = Field(0, ge=-100, le=100)
    pool: str = Field("", description="Where its trainings run; the default pool if left out")
    resources: dict[str, Any] = Field(
        {}, description="Of each: cpus, memory_mib, disk_mib, gpus, node_selector"
    )
