"""What the page of a training shows beside log and chart: alarms, small charts, texts, ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.pages.jobs.alarms import alarms_of
from console.pages.jobs.charts import COURSE, Group, empty_chart
from models_app.jobs import samples
from models_app.jobs.models import Job, TextSample
from models_app.jobs.ranks import Rank, ranks_of


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What the model wrote at one of the steps that can be chosen."""

    steps: list[int]
    place: int
    rows: list[TextSample]

    @property
    def step(self) -> int:
        """The chosen one."""
        return self.steps[self.place]

    @property
    def before(self) -> int | None:
        """The step before the chosen one."""
        return self.steps[self.place - 1] if self.place else None

    @property
    def after(self) -> int | None:
        """The step after the chosen one."""
        return self.steps[self.place + 1] if not self.is_newest else None

    @property
    def is_newest(self) -> bool:
        """Whether nothing newer was written."""
        return self.place == len(self.steps) - 1

    @property
    def last(self) -> int:
        """Place of the newest step."""
        return len(self.steps) - 1


def large(groups: Sequence[Group], chosen: Group | None) -> list[Group]:
    """The groups that the large chart offers by name: the others are small ones beside it."""
    return [group for group in groups if group == chosen or group not in COURSE]


def watched(
    actor: Any, job: Job, asked: Mapping[str, str], groups: Sequence[Group]
) -> dict[str, Any]:
    """The context of these parts. `asked` may name the step of the texts as `sample`."""
    small = [group for group in groups if group in COURSE]
    return {
        "alarms": alarms_of(actor, job),
        "course": [(group, empty_chart(group)) for group in small],
        "texts": _texts(job, asked.get("sample", "")),
        "ranks": _ranked(ranks_of(job=job)),
    }


def _texts(job: Job, asked: str) -> Texts | None:
    """The newest, unless another step is asked for: then the nearest to it."""
    steps = samples.sample_steps(job=job)
    if not steps:
        return None
    place = len(steps) - 1
    if asked.isdecimal() and len(asked) < 19:
        wanted = int(asked)
        place = min(range(len(steps)), key=lambda one: abs(steps[one] - wanted))
    return Texts(steps=steps, place=place, rows=samples.samples_at(job=job, step=steps[place]))


def _ranked(ranks: list[Rank]) -> list[tuple[Rank, float]]:
    """Each with its part of the longest step in percent, for a bar."""
    longest = max((rank.busy for rank in ranks), default=0.0) or 1.0
    return [(rank, 100.0 * rank.busy / longest) for rank in ranks]
