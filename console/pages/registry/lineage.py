"""The picture of where a version comes from and where it runs: boxes and lines for an SVG."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from console.pages.figures import duration
from console.pages.navigation import url_or_none
from console.pages.states import look_of
from models_app.registry.models import ModelVersion

#: Left edge and width of the four columns, height of a box, distance of two.
COLUMNS = ((10, 190), (250, 170), (470, 170), (700, 190))
HEIGHT, STEP = 52, 66


@dataclass(kw_only=True)
class Box:
    """One thing in the picture."""

    title: str
    sub: str
    href: str
    column: int
    here: bool = False
    y: float = 0
    x: int = field(init=False)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.x, self.width = COLUMNS[self.column]
        self.title, self.sub = _short(self.title, 25), _short(self.sub, 32)

    @property
    def text_x(self) -> int:
        return self.x + 14

    @property
    def title_y(self) -> float:
        return self.y + 23

    @property
    def sub_y(self) -> float:
        return self.y + 40

    @property
    def middle(self) -> float:
        return self.y + HEIGHT / 2


def lineage(version: ModelVersion) -> dict[str, Any]:
    """`{boxes, lines, height, label}`: sources and base, job, this version, what came of it."""
    sources, results = _sources(version), _results(version)
    made = _made(version)
    word = look_of("awaited", "model_version").label if version.waits_for_files else ""
    sub = str(word or version.get_state_display())
    here = Box(title=str(version), sub=sub, href="", column=2, here=True)
    height = 16 + STEP * max(len(sources), len(results), 1)
    for boxes in (sources, [made] if made else [], [here], results):
        top = (height - STEP * len(boxes)) / 2 + (STEP - HEIGHT) / 2
        for place, box in enumerate(boxes):
            box.y = top + place * STEP
    middle = made or here
    lines = [_line(box, middle) for box in sources]
    if made:
        lines.append(_line(made, here))
    lines += [_line(here, box) for box in results]
    boxes = [*sources, *([made] if made else []), here, *results]
    return {
        "boxes": boxes,
        "lines": lines,
        "height": round(height),
        "label": _("Lineage: %(names)s") % {"names": " → ".join(box.title for box in boxes)},
    }


def _sources(version: ModelVersion) -> list[Box]:
    found = []
    if version.dataset_version:
        data = version.dataset_version
        names = data.dataset.team.slug, data.dataset.name, data.number
        href = url_or_none("dataset_version", *names)
        total = data.counts.get("total", {}).get("documents", 0)
        sub = _("%(n)s documents") % {"n": f"{total:,}"}
        found.append(Box(title=str(data), sub=sub, href=href or "", column=0))
    if version.base_version:
        base = version.base_version
        found.append(Box(title=str(base), sub=_("base version"), href=version_url(base), column=0))
    if version.source_version:
        source = version.source_version
        sub = _("source of the format")
        found.append(Box(title=str(source), sub=sub, href=version_url(source), column=0))
    return found


def _made(version: ModelVersion) -> Box | None:
    job = version.produced_by
    if job is None:
        return None
    took = ""
    if job.started_at and job.finished_at:
        took = duration(job.finished_at - job.started_at)
    return Box(
        title=_("Job %(n)s") % {"n": job.pk},
        sub=took or str(job.get_state_display()),
        href=url_or_none("job_detail", job.pk) or "",
        column=1,
    )


def _results(version: ModelVersion) -> list[Box]:
    revisions = version.revisions.select_related("deployment__team").order_by("-id")[:4]
    found = [
        Box(
            title=f"{row.deployment.name} r{row.number}",
            sub=str(row.get_state_display()),
            href=url_or_none("deployment_detail", row.deployment.team.slug, row.deployment.name)
            or "",
            column=3,
        )
        for row in revisions
    ]
    derived = version.derived.select_related("model__team").order_by("-id")[:4]
    found += [
        Box(title=str(row), sub=_("trained further"), href=version_url(row), column=3)
        for row in derived
    ]
    formats = version.formats.select_related("model__team").order_by("-id")[:4]
    found += [
        Box(title=str(row), sub=row.format, href=version_url(row), column=3) for row in formats
    ]
    return found


def version_url(version: ModelVersion) -> str:
    """The page of a version."""
    model = version.model
    return url_or_none("model_version", model.team.slug, model.name, version.number) or ""


def _line(start: Box, end: Box) -> str:
    x1, x2 = start.x + start.width, end.x
    bend = (x1 + x2) / 2
    y1, y2 = start.middle, end.middle
    return f"M{x1} {y1:g} C{bend:g} {y1:g} {bend:g} {y2:g} {x2} {y2:g}"


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
