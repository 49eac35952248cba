"""The fewest replicas over the coming week, as bounds and hours of the settings say."""

import datetime as dt
from dataclasses import dataclass
from itertools import groupby
from zoneinfo import ZoneInfo

from models_app.configs.specs.serving.scaling import ScalingSettings
from models_app.deployments.scaling import Facts, floor_now

DAYS_AHEAD = 7
#: Clocks are set forward and back on such borders.
HALF_HOUR = dt.timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A time in which the number stays the same; both ends by the clock on the wall there."""

    start: dt.datetime
    end: dt.datetime
    replicas: int
    #: Where in the week it lies, of the whole.
    left: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Week:
    """From midnight of today on, in the time zone of the settings."""

    days: list[dt.date]
    stretches: list[Stretch]
    timezone: str

    @property
    def fewest(self) -> int:
        return min(stretch.replicas for stretch in self.stretches)

    @property
    def most(self) -> int:
        return max(stretch.replicas for stretch in self.stretches)


def week_ahead(scaling: ScalingSettings, at: dt.datetime) -> Week:
    """The seven days from the day of `at` on. What requests ask for comes on top of it."""
    zone = ZoneInfo(scaling.timezone)
    today = at.astimezone(zone).date()
    days = [today + dt.timedelta(days=n) for n in range(DAYS_AHEAD + 1)]
    since, until = (_utc(day, "00:00", zone) for day in (days[0], days[-1]))
    moments = sorted(moment for moment in _borders(scaling, days, zone) if since <= moment < until)
    numbered = [(moment, floor_now(scaling, Facts(now=moment, current=0))[0]) for moment in moments]
    starts = [next(group) for _number, group in groupby(numbered, key=lambda item: item[1])]
    ends = [moment for moment, _number in starts[1:]] + [until]
    whole = until - since
    return Week(
        days=days[:-1],
        stretches=[
            Stretch(
                start=start.astimezone(zone),
                end=end.astimezone(zone),
                replicas=number,
                left=(start - since) / whole,
                width=(end - start) / whole,
            )
            for (start, number), end in zip(starts, ends, strict=True)
        ],
        timezone=scaling.timezone,
    )


def _borders(scaling: ScalingSettings, days: list[dt.date], zone: ZoneInfo) -> set[dt.datetime]:
    """Every moment at which the number may change."""
    clocks = {"00:00", *(clock for row in scaling.hours for clock in (row.start, row.end))}
    found = {_utc(day, clock, zone, fold) for day in days for clock in clocks for fold in (0, 1)}
    first, last = min(found), max(found)
    return found | {first + n * HALF_HOUR for n in range(int((last - first) / HALF_HOUR) + 1)}


def _utc(day: dt.date, clock: str, zone: ZoneInfo, fold: int = 0) -> dt.datetime:
    time = dt.time.fromisoformat(clock).replace(fold=fold)
    return dt.datetime.combine(day, time, zone).astimezone(dt.UTC)
