"""Earlier trainings on nodes, each as what was measured over what would have been predicted."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models_app.configs.presets import training_need, training_step
from models_app.core.errors import FieldError
from models_app.registry.families import is_markov
from models_app.registry.models import ModelVersion
from models_app.registry.services.planning_markov import markov_need, markov_seconds
from models_app.registry.states import Family, VersionState

#: So many of the newest trainings are looked at.
NEWEST = 300
#: A training up to so many times larger or smaller is of the same size.
ALIKE = 8.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What two trainings must have in common to teach of each other."""

    family: str
    threads: int
    processes: int
    precision: str
    on_gpu: bool
    #: Floating point operations of a step, or units of a counted model.
    size: float

    def is_like(self, other: "Kind") -> bool:
        """The same but for the size, and that within a factor."""
        if replace(self, size=other.size) != other:
            return False
        return abs(math.log(max(self.size, 1) / max(other.size, 1))) <= math.log(ALIKE)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Ratios of one training; None where something was not measured."""

    kind: Kind
    time: float | None
    memory: float | None


def lessons(family: str, speeds: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Lesson]]:
    """By node, newest first; `speeds` names the nodes and holds what was measured of each."""
    rows: Iterable[ModelVersion] = (
        ModelVersion.objects.filter(
            model__family=family, state=VersionState.READY, filled_by=None,
            produced_by__kind="train", produced_by__node_name__in=list(speeds),
        )
        .select_related("config_revision", "produced_by", "base_version")
        .only(
            "facts", "metrics", "config_revision__spec", "produced_by__node_name",
            "produced_by__gpus", "base_version__facts",
        )
        .order_by("-pk")[:NEWEST]
    )  # fmt: skip
    found: dict[str, list[Lesson]] = defaultdict(list)
    for row in rows:
        job = row.produced_by
        assert job is not None
        lesson = _lesson(family, row, bool(job.gpus), speeds[job.node_name])
        if lesson is not None:
            found[job.node_name].append(lesson)
    return found


def _lesson(
    family: str, row: ModelVersion, on_gpu: bool, speed: Mapping[str, Any]
) -> Lesson | None:
    spec = row.config_revision.spec if row.config_revision else None
    if not spec or not row.metrics.get("seconds"):
        return None
    read = _markov if is_markov(family) else _transformer
    try:
        return read(family, row, spec, on_gpu, speed)
    except (FieldError, KeyError, TypeError, ValueError):  # settings of an older edition
        return None


def _transformer(
    family: str, row: ModelVersion, spec: Any, on_gpu: bool, speed: Mapping[str, Any]
) -> Lesson:
    # Of an adapter it is that of its base.
    shaped = row.base_version if family == Family.ADAPTER and row.base_version else row
    shape, metrics = shaped.facts["architecture"], row.metrics
    need = training_need(spec, shape)
    cost = training_step(spec, shape, speed, on_gpu=on_gpu)
    took = metrics["seconds"] / max(1, metrics["steps"])
    peak = metrics.get("peak_memory_bytes")
    return Lesson(
        kind=kind_of(family, spec, on_gpu, need.step_flops or 0),
        time=took / cost.total if cost else None,
        memory=peak / need.total if peak else None,
    )


def _markov(
    family: str, row: ModelVersion, spec: Any, on_gpu: bool, speed: Mapping[str, Any]
) -> Lesson:
    from models_app.registry.services.planning import spec_of_family

    checked, metrics = spec_of_family(family, spec), row.metrics
    tokens = metrics["train_tokens"]
    predicted = markov_seconds(family, checked, tokens, speed)
    peak = metrics.get("peak_memory_bytes")
    return Lesson(
        kind=kind_of(family, spec, on_gpu, tokens),
        time=metrics["seconds"] / predicted if predicted else None,
        memory=peak / markov_need(family, checked, tokens).total if peak else None,
    )


def kind_of(family: str, spec: Mapping[str, Any], on_gpu: bool, size: float) -> Kind:
    """The kind of a training with these settings."""
    return Kind(
        family=family,
        threads=int(spec.get("threads", 1)),
        processes=int(spec.get("processes", 1)),
        precision=str(spec.get("precision", "")),
        on_gpu=on_gpu,
        size=size,
    )
