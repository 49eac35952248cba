"""The steps of a roll-out, made before it begins: how many replicas of each side, which share.

`new` is how many replicas of the new revision a step ends with, `old` how many of the old one are
kept meanwhile; None is as many as they want. A step first drains the old side to `old`, then brings
the new one to `new`: with room for both the old side is never made smaller before the switch, and
without any room one old replica leaves for each new one.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from models_app.configs.specs.serving.rollout import RolloutSettings

#: Kinds in which the new revision is watched beside the old one.
WATCHED = ("canary", "linear", "shadow")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. `kind`: start, swap, replace, canary, linear, shadow, finish or adapters."""

    kind: str
    new: int | None = None
    old: int | None = None
    #: Of the requests; where `by_count`, the share follows the numbers of ready replicas.
    percent: int = 0
    mirror: int = 0
    bake_s: int = 0
    #: A person lets it go on.
    person: bool = False

    @property
    def by_count(self) -> bool:
        """Whether the new side gets requests as it has replicas, from the first one on."""
        return self.kind in ("replace", "swap") or (self.kind == "finish" and self.old is not None)

    def plain(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def parsed(plan: list[dict[str, Any]]) -> list[Step]:
    """From a row; never empty."""
    return [Step(**row) for row in plan] or [Step(kind="finish")]


def unasked(steps: list[Step]) -> list[Step]:
    """The same steps without anybody who has to let them go on."""
    return [dataclasses.replace(s, person=False) for s in steps if s.kind != "start"]


def steps_for(
    settings: RolloutSettings, *, strategy: str, wanted: int, old: int, free: int
) -> list[Step]:
    """All steps. `old` replicas serve now and `free` more have a place beside them."""
    if not old:
        return [Step(kind="finish")]
    if strategy == "all_at_once":
        return [Step(kind="swap", new=None, old=0)]
    first = _watched(settings, strategy, wanted, old, free) if strategy in WATCHED else []
    slack = min(free, 1) if strategy == "rolling" else free
    if strategy != "rolling" and free >= wanted:
        waits = strategy == "blue_green" and settings.wait_for_promotion
        ready = [Step(kind="start", person=True)] if waits else []
        last = first[-1].percent if first else 0
        return [*first, *ready, Step(kind="finish", percent=last)]
    begin = first[-1].new or 0 if first else 0
    person = settings.wait_for_promotion and strategy == "rolling"
    rest = replacing(wanted=wanted, old=old, slack=slack, begin=begin, person=person)
    return [*first, *rest]


def _watched(
    settings: RolloutSettings, strategy: str, wanted: int, old: int, free: int
) -> list[Step]:
    """The steps that compare, as far as both sides fit at the same time."""
    found = []
    for percent in _shares(settings, strategy):
        new = max(1, math.ceil(wanted * percent / 100))
        kept = min(old, old + free - new)
        if kept < 1:
            break
        shadow = strategy == "shadow"
        step = Step(
            kind=strategy,
            new=new,
            old=None if kept == old else kept,
            percent=0 if shadow else percent,
            mirror=percent if shadow else 0,
            bake_s=settings.bake_s,
            person=settings.wait_for_promotion,
        )
        found.append(step)
    return found


def _shares(settings: RolloutSettings, strategy: str) -> list[int]:
    if strategy == "linear":
        return list(range(settings.step_percent, 100, settings.step_percent))
    return [settings.canary_percent]


def replacing(
    *, wanted: int, old: int, slack: int, begin: int = 0, person: bool = False
) -> list[Step]:
    """One new replica after another; `slack` of them fit beside all old ones."""
    steps = [
        Step(kind="replace", new=k, old=max(0, min(old, old + slack - k)), person=person)
        for k in range(begin + 1, wanted)
    ]
    return [*steps, Step(kind="finish", old=max(0, min(old, old + slack - wanted)))]


def without_room(step: Step, *, wanted: int, old: int, placed: int) -> list[Step]:
    """What takes the place of a step whose new replicas find no room, and of those after it.

    `placed` new replicas have a place beside the `old` ones.
    """
    goal = wanted if step.new is None else min(step.new, wanted)
    kept = max(0, min(old, old + placed - goal))
    rest = replacing(wanted=wanted, old=old, slack=placed, begin=goal)
    if step.kind in WATCHED and kept:
        return [dataclasses.replace(step, old=kept), *rest]
    return replacing(wanted=wanted, old=old, slack=placed, begin=placed)
