"""Pictures of compared evaluations as SVG: bars with intervals, and the differences in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from console.pages.figures import count, signed
from console.pages.runs.picture import Axis
from models_app.registry.evaluation_comparison import Compared
from models_app.registry.scoring.pairing import Pair

WIDTH = 720
#: Where bars begin and end, and how far apart they are.
LEFT, RIGHT, ROW, THICK = 190, 640, 34, 18
MOST_LETTERS = 26
#: The picture of differences, and the share of rows that is left out at each of its ends.
HEIGHT, TOP, BOTTOM, MARGIN, END, OUTSIDE = 220, 12, 190, 64, WIDTH - 24, 0.02


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One evaluation; all numbers are text that SVG takes. Without an interval `low` is empty."""

    name: str
    short: str
    value: str
    y: int
    text_y: int
    middle: int
    width: str
    low: str
    high: str
    is_baseline: bool


def bars(rows: Sequence[Compared], baseline: int) -> dict[str, Any] | None:
    """Bars from zero with the interval of each; None where there is nothing to draw."""
    drawn = [row for row in rows if row.standing]
    if not drawn:
        return None
    most = max(_end(row) for row in drawn) or 1.0
    scale = Axis(low=0.0, high=most, start=LEFT, end=RIGHT, log=False)
    return {
        "width": WIDTH,
        "height": ROW * len(drawn) + 26,
        "left": LEFT,
        "thick": THICK,
        "floor": ROW * len(drawn),
        "tick_y": ROW * len(drawn) + 18,
        "ticks": [(_at(place), word) for place, word in scale.ticks()],
        "bars": [_bar(row, place, scale, baseline) for place, row in enumerate(drawn)],
    }


def _end(row: Compared) -> float:
    assert row.standing is not None
    between = row.standing.interval
    return max(row.standing.value, between.high) if between else row.standing.value


def _bar(row: Compared, place: int, scale: Axis, baseline: int) -> Bar:
    standing = row.standing
    assert standing is not None
    name, top, between = str(row.evaluation.version), ROW * place + 6, standing.interval
    return Bar(
        name=name,
        short=name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…",
        value=count(standing.value),
        y=top,
        text_y=top + 13,
        middle=top + THICK // 2,
        width=_at(scale.place(standing.value) - LEFT),
        low=_at(scale.place(between.low)) if between else "",
        high=_at(scale.place(between.high)) if between else "",
        is_baseline=row.evaluation.pk == baseline,
    )


def differences(pair: Pair) -> dict[str, Any] | None:
    """Single differences from the best row to the worst one; None where they are all alike."""
    curve = pair.curve
    cut = round(OUTSIDE * (len(curve) - 1))
    inner = sorted(curve)[cut : len(curve) - cut]
    low, high = min(0.0, inner[0]), max(0.0, inner[-1])
    if low == high:
        return None
    up = Axis(low=low, high=high, start=BOTTOM, end=TOP, log=False)
    along = Axis(low=0.0, high=1.0, start=MARGIN, end=END, log=False)
    points = [
        (along.place((place + edge) / len(curve)), up.place(min(high, max(low, value))))
        for place, value in enumerate(curve)
        for edge in (0, 1)
    ]
    zero = up.place(0.0)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": MARGIN,
        "right": END,
        "zero": _at(zero),
        "better": _area(points, zero, below=pair.less_is_better),
        "worse": _area(points, zero, below=not pair.less_is_better),
        "ticks": [
            (_at(up.place(value)), _at(up.place(value) + 4), signed(value)) for value in up.marks()
        ],
        "shares": [(_at(along.place(n / 4)), f"{25 * n}%") for n in range(5)],
        "share_y": BOTTOM + 20,
        "bottom": BOTTOM,
        "label": _("Better in %(won)s, worse in %(lost)s, alike in %(tied)s")
        % {"won": f"{pair.won:,}", "lost": f"{pair.lost:,}", "tied": f"{pair.tied:,}"},
    }


def _area(points: Sequence[tuple[float, float]], zero: float, *, below: bool) -> str:
    """The polygon between the line of zero and the curve, on one side of it; empty if there is
    none.
    """
    bound = max if below else min  # in a picture places grow downwards
    cut = [(x, bound(zero, y)) for x, y in points]
    if all(y == zero for _x, y in cut):
        return ""
    ends = [(cut[-1][0], zero), (cut[0][0], zero)]
    return " ".join(f"{_at(x)},{_at(y)}" for x, y in [*cut, *ends])


def _at(number: float) -> str:
    return f"{number:.1f}"
