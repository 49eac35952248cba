"""The coming week as a picture: how many replicas there are at least, and when."""

import datetime as dt
from dataclasses import dataclass

from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.configs.specs.serving.scaling import ScalingSettings
from models_app.core.clock import now
from models_app.deployments.week import Stretch, Week, week_ahead

DAYS: dict[str, Promise] = {
    "mon": gettext_lazy("Mon"),
    "tue": gettext_lazy("Tue"),
    "wed": gettext_lazy("Wed"),
    "thu": gettext_lazy("Thu"),
    "fri": gettext_lazy("Fri"),
    "sat": gettext_lazy("Sat"),
    "sun": gettext_lazy("Sun"),
}
#: Size of the picture in its own units: a tenth of an hour is one.
WIDTH, HEIGHT = 1680, 60


@dataclass(frozen=True)
class Bar:
    """A stretch of time: where it is drawn, and what it says."""

    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True)
class WeekPicture:
    """An SVG of this size with its words."""

    week: Week
    bars: list[Bar]
    #: Day and date, under its seventh of the width.
    days: list[dt.date]
    #: Where days meet.
    borders: list[float]
    #: Now, on the axis.
    now: float
    title: str
    width: int = WIDTH
    height: int = HEIGHT


def week_picture(settings: ScalingSettings) -> WeekPicture:
    """The seven days from today on."""
    at = now()
    week = week_ahead(settings, at)
    top = max(settings.max_replicas, 1)
    words = {"fewest": week.fewest, "most": week.most, "zone": week.timezone}
    said = _("The coming week: from %(fewest)s to %(most)s replicas at least (%(zone)s)")
    midnight = week.stretches[0].start
    return WeekPicture(
        week=week,
        bars=[_bar(stretch, top) for stretch in week.stretches],
        days=week.days,
        borders=[WIDTH * n / len(week.days) for n in range(1, len(week.days))],
        now=WIDTH * ((at - midnight) / dt.timedelta(days=len(week.days))),
        title=said % words,
    )


def _bar(stretch: Stretch, top: int) -> Bar:
    height = HEIGHT * stretch.replicas / top
    words = {
        "start": date_format(stretch.start, "D H:i"),
        "end": date_format(stretch.end, "D H:i"),
        "n": stretch.replicas,
    }
    return Bar(
        x=WIDTH * stretch.left,
        width=WIDTH * stretch.width,
        y=HEIGHT - height,
        height=height,
        title=_("%(start)s to %(end)s: at least %(n)s") % words,
    )
