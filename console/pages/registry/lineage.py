"""The picture of where a version comes from and where it runs: boxes and lines for an SVG."""

from typing import Any

from django.utils.translation import gettext as _

from console.pages.figures import duration
from console.pages.navigation import url_or_none
from console.pages.registry.picture import HEIGHT, Box, line
from console.pages.states import look_of
from models_app.registry.models import ModelVersion

#: Left edge and width of the four columns, distance of two boxes in one.
COLUMNS = ((2, 150), (180, 118), (326, 150), (504, 154))
STEP = 66


def lineage(version: ModelVersion) -> dict[str, Any]:
    """`{boxes, lines, height, label}`: sources and base, job, this version, what came of it."""
    sources, results = _sources(version), _results(version)
    made = _made(version)
    word = look_of("awaited", "model_version").label if version.waits_for_files else ""
    sub = str(word or version.get_state_display())
    here = _box(2, title=str(version), sub=sub, href="", here=True)
    height = 16 + STEP * max(len(sources), len(results), 1)
    for boxes in (sources, [made] if made else [], [here], results):
        top = (height - STEP * len(boxes)) / 2 + (STEP - HEIGHT) / 2
        for place, box in enumerate(boxes):
            box.y = top + place * STEP
    middle = made or here
    lines = [line(box, middle) for box in sources]
    if made:
        lines.append(line(made, here))
    lines += [line(here, box) for box in results]
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
        found.append(_box(0, title=str(data), sub=sub, href=href or ""))
    if version.base_version:
        base = version.base_version
        found.append(_box(0, title=str(base), sub=_("base version"), href=version_url(base)))
    if version.source_version:
        source = version.source_version
        sub = _("source of the format")
        found.append(_box(0, title=str(source), sub=sub, href=version_url(source)))
    return found


def _made(version: ModelVersion) -> Box | None:
    job = version.produced_by
    if job is None:
        return None
    took = ""
    if job.started_at and job.finished_at:
        took = duration(job.finished_at - job.started_at)
    return _box(
        1,
        title=_("Job %(n)s") % {"n": job.pk},
        sub=took or str(job.get_state_display()),
        href=url_or_none("job_detail", job.pk) or "",
    )


def _results(version: ModelVersion) -> list[Box]:
    revisions = version.revisions.select_related("deployment__team").order_by("-id")[:4]
    found = [
        _box(
            3,
            title=f"{row.deployment.name} r{row.number}",
            sub=str(row.get_state_display()),
            href=url_or_none("deployment_detail", row.deployment.team.slug, row.deployment.name)
            or "",
        )
        for row in revisions
    ]
    derived = version.derived.select_related("model__team").order_by("-id")[:4]
    found += [
        _box(3, title=str(row), sub=_("trained further"), href=version_url(row)) for row in derived
    ]
    formats = version.formats.select_related("model__team").order_by("-id")[:4]
    found += [_box(3, title=str(row), sub=row.format, href=version_url(row)) for row in formats]
    return found


def version_url(version: ModelVersion) -> str:
    """The page of a version."""
    model = version.model
    return url_or_none("model_version", model.team.slug, model.name, version.number) or ""


def _box(column: int, **fields: Any) -> Box:
    x, width = COLUMNS[column]
    return Box(x=x, width=width, **fields)
