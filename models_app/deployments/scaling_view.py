"""How a deployment scales just now and has scaled lately, for pages and the API."""

import datetime as dt
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from models_app.configs.specs.serving.scaling import Hours, ScalingSettings
from models_app.core.clock import now
from models_app.deployments.load import Load, load_now
from models_app.deployments.models import Deployment, ScalingEvent
from models_app.deployments.scaling import Facts, floor_now, in_hours
from models_app.deployments.states import ReplicaState
from models_app.deployments.wanted import is_scaled, scaling_of, wanted_replicas

SPAN = dt.timedelta(hours=6)
EVENTS = 50


@dataclass(frozen=True, kw_only=True)
class Step:
    """The number that was wanted between two moments, as shares of the span from 0 to 1."""

    start: float
    end: float
    wanted: int


@dataclass(frozen=True, kw_only=True)
class ScalingNow:
    """`settings` None: the number is fixed. `load` None: no gateway says."""

    wanted: int
    ready: int
    settings: ScalingSettings | None = None
    floor: int = 0
    #: Whose wish the floor is: `bounds`, `hours` or `hand`.
    floor_by: str = ""
    held_until: dt.datetime | None = None
    load: Load | None = None
    #: The hours that are in force, by their place in the settings.
    hours_now: list[int] = field(default_factory=list)
    local_time: dt.datetime | None = None
    events: list[ScalingEvent] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def most(self) -> int:
        """The highest number of the course, for the height of a picture."""
        allowed = self.settings.max_replicas if self.settings else 0
        return max([1, allowed, self.wanted, *(step.wanted for step in self.steps)])

    def hours(self) -> list[tuple[Hours, bool]]:
        """Each line of the schedule, and whether it is in force."""
        rows = self.settings.hours if self.settings else []
        return [(hours, place in self.hours_now) for place, hours in enumerate(rows)]


def scaling_now(row: Deployment, *, span: dt.timedelta = SPAN) -> ScalingNow | None:
    """None while nothing serves. The events are those of the span, newest first."""
    active = row.active_revision
    if active is None:
        return None
    active.deployment = row
    wanted = wanted_replicas(row, active)
    ready = active.replica_set.filter(state=ReplicaState.READY).count()
    at = now()
    events = list(row.scaling_events.filter(at__gt=at - span).order_by("-id")[:EVENTS])
    found = ScalingNow(
        wanted=wanted,
        ready=ready,
        events=events,
        steps=steps_of(events, wanted, at, span, since=row.created_at),
    )
    if not is_scaled(active):
        return found
    settings = scaling_of(active)
    loads = load_now()
    facts = Facts(now=at, current=wanted, held_at=row.held_at, held_until=row.held_until)
    floor, floor_by = floor_now(settings, facts)
    held = row.held_until if row.held_until and row.held_until > at else None
    local = at.astimezone(ZoneInfo(settings.timezone))
    return replace(
        found,
        settings=settings,
        floor=floor,
        floor_by=floor_by,
        held_until=held,
        load=None if loads is None else loads.get(row.pk, Load()),
        hours_now=[n for n, hours in enumerate(settings.hours) if in_hours(hours, local)],
        local_time=local,
    )


def steps_of(
    events: list[ScalingEvent],
    wanted: int,
    at: dt.datetime,
    span: dt.timedelta,
    *,
    since: dt.datetime,
) -> list[Step]:
    """The course of the wanted number up to `at`; none before `since`. `events`: newest first."""
    steps: list[Step] = []
    end, number = 1.0, wanted
    for event in events:
        start = max(0.0, 1 - (at - event.at) / span)
        steps.append(Step(start=start, end=end, wanted=number))
        end, number = start, event.before
    made = min(end, max(0.0, 1 - (at - since) / span))
    steps.append(Step(start=made, end=end, wanted=number))
    if made:
        steps.append(Step(start=0.0, end=made, wanted=0))
    return steps[::-1]
