"""The estimate of a training: its plan, and for each ready node of its pool what it takes there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models_app.core.actor import Actor
from models_app.datasets.models import DatasetVersion
from models_app.jobs.gangs import gang_check
from models_app.jobs.resources import resources_fields, resources_parse
from models_app.jobs.room import Room
from models_app.pools.models import Node
from models_app.pools.selectors import pool_nodes
from models_app.pools.services.pools import pool_for
from models_app.pools.states import NodeState
from models_app.registry.estimates.correction import learned
from models_app.registry.estimates.duration import duration
from models_app.registry.estimates.energy import energy
from models_app.registry.estimates.history import Kind, Lesson, kind_of, lessons
from models_app.registry.estimates.outcome import Fit, Place, TrainingEstimate
from models_app.registry.estimates.places import fit_of, memory_of
from models_app.registry.families import is_markov
from models_app.registry.further import beginning_of
from models_app.registry.models import ModelVersion
from models_app.registry.services.planning import training_plan
from models_app.registry.states import Family
from models_app.registry.training_plans import TrainingPlan

FITS = (Fit.NOW, Fit.LATER, Fit.NEVER)


def training_estimate(
    *,
    actor: Actor,
    team: Any,
    dataset_version: DatasetVersion,
    spec: Any,
    base_version: ModelVersion | None = None,
    family: str = Family.TRANSFORMER,
    pool: str = "",
    resources: dict[str, Any] | None = None,
) -> TrainingEstimate:
    """What the training would take in this pool. Changes nothing.

    Raises InvalidInput naming every bad field, as starting it would.
    """
    plan = training_plan(
        actor=actor, team=team, dataset_version=dataset_version, spec=spec,
        base_version=base_version, family=family,
    )  # fmt: skip
    if getattr(plan.spec, "lora_rank", 0):
        family = Family.ADAPTER  # what comes out, and whose like teach of it
    base = beginning_of(base_version).base
    where, together = pool_for(team=team, name=pool), getattr(plan.spec, "nodes", 1)
    gang_check(pool=where, nodes=together)
    fields = resources_fields(
        asked=resources_parse(resources),
        pool=where,
        wanted_gpus=_gpus(family, plan.spec),
        nodes_wanted=together,
    )
    task = _Task(
        family=family,
        plan=plan,
        base_shape=base.facts.get("architecture") if base else None,
        characters=int(dataset_version.counts["train"]["characters"]),
        fields=fields,
    )
    nodes = [
        node
        for node in pool_nodes(where)
        if node.ready and node.state == NodeState.READY  # type: ignore[attr-defined]
    ]
    known = lessons(family, {node.name: _speed(node) for node in nodes})
    room = Room()
    places = [task.place(node, room, known.get(node.name, [])) for node in nodes]
    return TrainingEstimate(plan=plan, places=sorted(places, key=_order))


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One training, to be put on one node after the other."""

    family: str
    plan: TrainingPlan
    base_shape: Mapping[str, Any] | None
    characters: int
    fields: Mapping[str, Any]

    def place(self, node: Node, room: Room, known: list[Lesson]) -> Place:
        on_gpu = bool(self.fields["gpus"] and node.gpus)
        alike = [lesson for lesson in known if lesson.kind.is_like(self._kind(on_gpu))]
        time = learned([one.time for one in alike if one.time is not None])
        memory = learned([one.memory for one in alike if one.memory is not None])
        need = round(self.plan.need.total * memory.factor)
        fit, reasons = fit_of(node, room, self.fields, need, on_gpu)
        total, free = memory_of(node, on_gpu)
        seconds = duration(
            family=self.family, plan=self.plan, base_shape=self.base_shape,
            characters=self.characters, speed=_speed(node), on_gpu=on_gpu, correction=time,
        )  # fmt: skip
        serving = self.plan.need.serving
        threads, gpus = self._threads(), int(self.fields["gpus"]) if on_gpu else 0
        drawn = energy(node, threads, gpus, seconds.likely if seconds else None)
        return Place(
            node=node.name, fit=fit, reasons=reasons, memory_need=need, memory_free=free,
            memory_total=total, on_gpu=on_gpu, seconds=seconds,
            energy=None if isinstance(drawn, str) else drawn,
            no_energy=drawn if isinstance(drawn, str) else "",
            time_correction=time, memory_correction=memory,
            contexts=serving.contexts(total) if serving else None,
        )  # fmt: skip

    def _threads(self) -> int:
        """Of all its processes."""
        spec = self.plan.spec
        return int(getattr(spec, "threads", 1)) * int(getattr(spec, "processes", 1))

    def _kind(self, on_gpu: bool) -> Kind:
        size = self.plan.need.step_flops or self.plan.dataset_tokens
        return kind_of(self.family, self.plan.spec.plain(), on_gpu, size)


def _speed(node: Node) -> Mapping[str, Any]:
    speed: Mapping[str, Any] = node.capacity.get("speed") or {}
    return speed


def _order(place: Place) -> tuple[int, float, str]:
    """Where it fits first, the fastest of those first."""
    time = place.seconds.likely if place.seconds else float("inf")
    return FITS.index(place.fit), time, place.node


def _gpus(family: str, spec: Any) -> int:
    """GPUs that the job asks of a node where there are any: one for each process there."""
    return 0 if is_markov(family) else int(spec.processes // spec.nodes)
