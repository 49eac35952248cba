"""Which metrics of a job share a chart, and the chart's data."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from models_app.jobs import metrics
from models_app.jobs.models import Job
from models_app.registry.curves import curve_of


@dataclass(frozen=True)
class Group:
    """One chart: a slug for URLs, a title, and the metrics it shows with their labels.

    Values are multiplied by `scale` and then counted in `unit`.
    """

    slug: str
    title: str | Promise
    series: tuple[tuple[str, str | Promise], ...]
    unit: str = ""
    scale: float = 1.0

    @property
    def keys(self) -> str:
        """The names of its metrics, as the live chart asks for them."""
        return ",".join(name for name, _label in self.series)


#: The first group a job has metrics for is the one its page opens with.
GROUPS = (
    Group(
        "loss",
        _("Loss"),
        (
            ("loss", _("Training loss")),
            ("validation_loss", _("Validation loss")),
            ("unigram_entropy", _("Unigram entropy")),
        ),
    ),
    Group("rate", _("Learning rate"), (("learning_rate", _("Learning rate")),)),
    Group("gradient", _("Gradient norm"), (("gradient_norm", _("Gradient norm")),)),
    Group("speed", _("Throughput"), (("tokens_per_second", _("Tokens per second")),)),
    Group("steps", _("Time of a step"), (("step_seconds", _("Seconds a step")),), unit="s"),
    Group("use", _("Use of the device"), (("mfu_percent", _("MFU")),), unit="%"),
    Group("memory", _("Memory"), (("memory_bytes", _("In use")),), unit="MiB", scale=1 / (1 << 20)),
    Group(
        "divergence",
        _("Divergence"),
        (("skipped_steps", _("Steps left out")), ("rewinds", _("Times gone back"))),
    ),
)
GROUPED = {name for group in GROUPS for name, _label in group.series}
#: Shown small beside the first; one address gives the new points of all of them.
COURSE = GROUPS[1:]
COURSE_SLUG = "course"
#: Points of each of them.
FEW = 240
#: What single processes say of themselves has a table of its own.
OF_RANK = re.compile(r"rank_\d+_")


def groups_of(names: Iterable[str]) -> list[Group]:
    """The groups for which there are metrics, then one for each metric nobody has grouped."""
    known = set(names)
    found = [g for g in GROUPS if any(name in known for name, _label in g.series)]
    single = [
        Group(name.replace("_", "-"), name, ((name, name),))
        for name in sorted(known - GROUPED)
        if not OF_RANK.match(name)
    ]
    return found + single


def empty_chart(group: Group) -> dict[str, Any]:
    """A chart that fetches its points itself, once it is shown."""
    labels = [str(label) for _name, label in group.series]
    return {"x": [], "series": [[] for _ in labels], "labels": labels, "unit": group.unit}


def chart_data(job: Job, group: Group, beside: Sequence[tuple[int, str]] = ()) -> dict[str, Any]:
    """`{x, series, labels}` over the union of steps; a lone first value becomes a level line.

    `beside` are numbers and names of other runs: each adds the line that says most of the group.
    """
    names = [name for name, _label in group.series]
    curves: dict[str, dict[int, float]] = {
        name: dict(curve_of(job=job, name=name)) for name in names
    }
    others = [_main_curve(number, names) for number, _label in beside]
    steps = sorted({step for curve in (*curves.values(), *others) for step in curve})
    level = curves.get("unigram_entropy")
    if level and len(steps) > 1:
        value = next(iter(level.values()))
        curves["unigram_entropy"] = dict.fromkeys(steps, value)
    return {
        "x": steps,
        "series": [
            [_scaled(curve.get(step), group) for step in steps]
            for curve in (*(curves[name] for name in names), *others)
        ],
        "labels": [
            *(str(label) for _name, label in group.series), *(label for _number, label in beside)
        ],
        "unit": group.unit,
    }  # fmt: skip


def _scaled(value: float | None, group: Group) -> float | None:
    return None if value is None else value * group.scale


def _main_curve(number: int, names: list[str]) -> dict[int, float]:
    """Of the losses the one on text that was held out, of other groups the first."""
    job = Job(pk=number)
    for name in sorted(names, key=lambda name: name != "validation_loss"):
        curve = dict(curve_of(job=job, name=name))
        if len(curve) > 1:
            return curve
    return {}


def new_points(
    job: Job, groups: Sequence[Group], after_step: int, most: int = 1000
) -> list[dict[str, Any]]:
    """Points of some groups after a step, as the live charts add them; thinned beyond `most`."""
    by_step: dict[int, dict[str, float]] = {}
    names = {name: group.scale for group in groups for name, _label in group.series}
    for name, scale in names.items():
        for step, value in curve_of(job=job, name=name, after_step=after_step, max_points=most):
            by_step.setdefault(step, {})[name] = value * scale
    if "unigram_entropy" in names:
        level = metrics.metric_latest(job=job).get("unigram_entropy")
        for values in by_step.values():
            if level:
                values["unigram_entropy"] = level[1]
    return [{"step": step, "values": by_step[step]} for step in sorted(by_step)]
