"""Pictures of a sweep as SVG: the value over each setting, and the best value by then."""

import math
from collections.abc import Sequence
from typing import Any

from console.pages.figures import figure
from console.pages.runs.picture import Axis, axis_of
from models_app.configs.comparison import value_text
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.selectors import best_so_far
from models_app.sweeps.states import TrialState

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 40
MOST_WORDS = 14


def best_line(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The best value after each finished trial; None before there are two."""
    line = best_so_far(sweep, trials)
    if len(line) < 2:
        return None
    across = axis_of([float(count) for count, _value in line], LEFT, WIDTH - RIGHT)
    up = axis_of([value for _count, value in line], HEIGHT - BOTTOM, TOP)
    points = [(round(across.place(x), 1), round(up.place(y), 1)) for x, y in line]
    path = f"M{points[0][0]} {points[0][1]}"
    # Between two trials the earlier best holds.
    path += "".join(f"H{x}V{y}" for x, y in points[1:])
    whole = [(place, text) for place, text in across.ticks() if "." not in text]
    return {
        **_frame(up), "path": path, "x_ticks": whole, "rows": line,
        "points": [{"x": x, "y": y} for x, y in points],
    }  # fmt: skip


def scatters(trials: Sequence[Trial], names: Sequence[str], best: Trial | None) -> list[Any]:
    """A picture for each setting that varies: every trial that has a value, stopped ones hollow."""
    shown = [trial for trial in trials if trial.value is not None]
    if len(shown) < 2:
        return []
    up = axis_of([float(trial.value or 0) for trial in shown], HEIGHT - BOTTOM, TOP)
    return [{"name": name, **_scatter(shown, name, up, best)} for name in names]


def _scatter(trials: Sequence[Trial], name: str, up: Axis, best: Trial | None) -> dict[str, Any]:
    values = [trial.values.get(name) for trial in trials]
    places, ticks = _across(values)
    points = []
    for trial, value, x in zip(trials, values, places, strict=True):
        said = f"{trial.number}: {name} {value_text(value)}, {figure(trial.value)}"
        points.append({
            "x": x, "y": round(up.place(float(trial.value or 0)), 1), "title": said,
            "is_best": trial == best, "is_stopped": trial.state == TrialState.STOPPED,
        })  # fmt: skip
    return {**_frame(up), "x_ticks": ticks, "points": points}


def _across(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value lies, and what is written below: numbers on an axis, others side by side."""
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        axis = axis_of([float(one) for one in values], LEFT, WIDTH - RIGHT)
        return [round(axis.place(float(one)), 1) for one in values], _sparse(axis.ticks())
    words = list(dict.fromkeys(value_text(one) for one in values))
    apart = (WIDTH - RIGHT - LEFT) / len(words)
    at = {word: round(LEFT + apart * (place + 0.5), 1) for place, word in enumerate(words)}
    ticks = [(place, word[:MOST_WORDS]) for word, place in at.items()]
    return [at[value_text(one)] for one in values], _sparse(ticks)


def _sparse(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Not more than there is room for."""
    every = max(1, math.ceil(len(ticks) / 5))
    return ticks[::every]


def _frame(up: Axis) -> dict[str, Any]:
    return {
        "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT,
        "tick_y": HEIGHT - BOTTOM + 16, "label_x": (LEFT + WIDTH - RIGHT) / 2,
        "label_y": HEIGHT - 6, "word_x": LEFT - 8,
        "y_ticks": [(place, text, place + 4) for place, text in up.ticks()],
    }  # fmt: skip
