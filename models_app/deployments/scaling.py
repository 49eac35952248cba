"""How many replicas a deployment needs: a pure function of its settings and of what is measured.

Up fast: when there has been too much to do for a few seconds, at most doubling. Down slowly: when
fewer would have sufficed with room to spare for long enough, one at a time, and never within a
minute after going up. Within a minute after going down it goes up again only where more than twice
as many are needed. What it has to remember comes with the facts and goes with the decision, so
any process may go on where another stopped.
"""

import datetime as dt
import math
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from models_app.configs.specs.serving.scaling import Day, Hours, ScalingSettings
from models_app.deployments.load import Load

#: So long there must have been too much to do.
UP_AFTER = dt.timedelta(seconds=3)
#: So long after going up nothing goes down, and waits for the first token are not judged again.
SETTLE = dt.timedelta(seconds=60)
#: One less must suffice with so much of its target used at most, lest it goes up again at once.
ROOM_TO_SPARE = 0.8
#: The same for the wait for the first token.
FAST_ENOUGH = 0.7
#: After the first step down each further one takes this share of the calm.
FURTHER_STEP = 0.25
#: Fewer calls than these say nothing about how long they wait.
SAMPLES = 5
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a deployment at a moment."""

    now: dt.datetime
    current: int
    #: None: nobody knows how much there is to do.
    load: Load | None = None
    #: 95 of 100 recent calls had their first token within so many ms; None: too few calls.
    first_token_ms: float | None = None
    over_since: dt.datetime | None = None
    calm_since: dt.datetime | None = None
    went_up_at: dt.datetime | None = None
    went_down_at: dt.datetime | None = None
    last_request_at: dt.datetime | None = None
    held_at: int | None = None
    held_until: dt.datetime | None = None
    rolling_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How many replicas from now on, why, and what to remember until the next look."""

    wanted: int
    cause: str = ""
    over_since: dt.datetime | None = None
    calm_since: dt.datetime | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def decide(scaling: ScalingSettings, facts: Facts) -> Decision:
    """Between `min_replicas` and `max_replicas`; `cause` is empty where the number stays."""
    floor, why = floor_now(scaling, facts)
    figures = _figures(scaling, facts)
    if facts.current > scaling.max_replicas:
        return Decision(wanted=scaling.max_replicas, cause="bounds", figures=figures)
    if facts.current < floor:
        return Decision(wanted=floor, cause=why, figures=figures)
    if facts.load is None:
        return Decision(wanted=facts.current)
    if facts.current == 0:
        wanted = 1 if facts.load.total else 0
        return Decision(wanted=wanted, cause="wake" if wanted else "", figures=figures)
    decision = _up(scaling, facts, facts.load) or _down(scaling, facts, facts.load, floor)
    return replace(decision, figures=figures) if decision.cause else decision


def floor_now(scaling: ScalingSettings, facts: Facts) -> tuple[int, str]:
    """The fewest replicas at this moment and whose wish that is: `bounds`, `hours` or `hand`."""
    floors = [(scaling.min_replicas, "bounds")]
    local = facts.now.astimezone(ZoneInfo(scaling.timezone))
    floors += [(hours.replicas, "hours") for hours in scaling.hours if in_hours(hours, local)]
    if facts.held_at is not None and facts.held_until and facts.held_until > facts.now:
        floors.append((facts.held_at, "hand"))
    floor, why = max(floors, key=lambda item: item[0])
    return min(floor, scaling.max_replicas), why


def in_hours(hours: Hours, local: dt.datetime) -> bool:
    """Whether the clock on the wall, `local`, shows a time of these hours.

    An end that is not after the start is one of the next day. Where the clock is set back, an hour
    that comes twice counts twice; one that is left out does not come.
    """
    clock = local.strftime("%H:%M")
    today = DAYS[local.weekday()]
    yesterday = DAYS[(local.weekday() - 1) % 7]
    days = hours.days or DAYS
    if hours.start < hours.end:
        return today in days and hours.start <= clock < hours.end
    return (today in days and clock >= hours.start) or (yesterday in days and clock < hours.end)


def _up(scaling: ScalingSettings, facts: Facts, load: Load) -> Decision | None:
    """The decision while there is too much to do; None where there is not."""
    by_load = math.ceil(load.total / scaling.target_requests - 1e-9)
    needed = by_load
    if _slow(scaling, facts) and load.total and _since(facts.went_up_at, facts) >= SETTLE:
        needed = max(needed, facts.current + 1)
    if needed <= facts.current or facts.current >= scaling.max_replicas:
        return None
    since = facts.over_since or facts.now
    turned = _since(facts.went_down_at, facts) < SETTLE and needed <= 2 * facts.current
    if turned or facts.now - since < UP_AFTER:
        return Decision(wanted=facts.current, over_since=since)
    wanted = min(needed, 2 * facts.current, scaling.max_replicas)
    # The next doubling has to be needed for a few seconds of its own.
    return Decision(wanted=wanted, cause="load" if by_load > facts.current else "latency")


def _down(scaling: ScalingSettings, facts: Facts, load: Load, floor: int) -> Decision:
    if not _fewer_would_do(scaling, facts, load, floor):
        return Decision(wanted=facts.current)
    since = facts.calm_since or facts.now
    stay = Decision(wanted=facts.current, calm_since=since)
    if facts.rolling_out or _since(facts.went_up_at, facts) < SETTLE:
        return stay
    if not load.total and floor == 0:
        heard = max(filter(None, (since, facts.last_request_at, facts.went_up_at)))
        if facts.now - heard >= dt.timedelta(seconds=scaling.sleep_after_s):
            return Decision(wanted=0, cause="idle")
    calm = dt.timedelta(seconds=scaling.scale_down_after_s)
    if facts.current == 1 or facts.now - since < calm:
        return stay
    wanted = facts.current - 1
    # For the last one calm means that nobody asks at all: that begins anew.
    further = None if wanted == 1 else facts.now - calm * (1 - FURTHER_STEP)
    return Decision(wanted=wanted, cause="load", calm_since=further)


def _fewer_would_do(scaling: ScalingSettings, facts: Facts, load: Load, floor: int) -> bool:
    if facts.current <= floor:
        return False
    if facts.current == 1:
        return not load.total
    if _slow(scaling, facts, FAST_ENOUGH):
        return False
    return load.total <= scaling.target_requests * (facts.current - 1) * ROOM_TO_SPARE


def _slow(scaling: ScalingSettings, facts: Facts, share: float = 1.0) -> bool:
    limit = scaling.target_first_token_ms
    return bool(limit and facts.first_token_ms and facts.first_token_ms > limit * share)


def _since(at: dt.datetime | None, facts: Facts) -> dt.timedelta:
    return facts.now - at if at else dt.timedelta.max


def _figures(scaling: ScalingSettings, facts: Facts) -> dict[str, Any]:
    load = facts.load
    figures: dict[str, Any] = {"target_requests": scaling.target_requests}
    if load is not None:
        figures |= {"running": load.running, "waiting": load.waiting}
    if scaling.target_first_token_ms:
        figures["target_first_token_ms"] = scaling.target_first_token_ms
        figures["first_token_ms"] = facts.first_token_ms
    return figures
