"""The documents that somebody asks for: those that hold a text, those behind a finding."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from console.pages.datasets.documents import shown_document
from models_app.datasets.models import DatasetVersion
from models_app.datasets.policy import MEASURES, figures
from models_app.datasets.quality import policy_spec, quality_of
from models_app.datasets.rows import rows_of_finding, rows_search

AT_ONCE = 25


def finding_filter(version: DatasetVersion) -> list[dict[str, Any]]:
    """Measures that have something to show, for the head of the list."""
    report = quality_of(version).report
    if report is None:
        return []
    found = figures(report.report, policy_spec(version.team_id))
    return [
        {"name": name, "label": MEASURES[name], "count": figure["count"] - figure["at_import"]}
        for name, figure in found.items()
        if figure["count"] > figure["at_import"] and name != "other_languages"
    ]


def chosen_documents(
    request: HttpRequest, version: DatasetVersion, split: str
) -> dict[str, Any] | None:
    """What `?q=` or `?finding=` asks for; None if neither does."""
    text, finding = request.GET.get("q", "").strip()[:200], request.GET.get("finding", "")
    given = request.GET.get("offset", "")
    offset = int(given) if given.isascii() and given.isdecimal() and len(given) < 13 else 0
    after: int | None
    if finding in MEASURES:
        rows, after = rows_of_finding(
            version=version, measure=finding, offset=offset, limit=AT_ONCE
        )
        shown = [_shown(version, row) for row in rows]
        title = str(MEASURES[finding])
    elif text:
        rows, after = rows_search(
            version=version, text=text, split=split, offset=offset, limit=AT_ONCE
        )
        shown = [{**shown_document(row), "split": split} for row in rows]
        title = _("Documents with “%(text)s”") % {"text": text}
    else:
        return None
    return {
        "documents": shown, "chosen": title, "query_text": text, "finding": finding,
        "offset": offset, "next_offset": after,
    }  # fmt: skip


def _shown(version: DatasetVersion, row: dict[str, Any]) -> dict[str, Any]:
    """A document behind a finding, beside the one that it resembles."""
    shown = {**shown_document(row), "split": row["split"], "why": row["finding"]["detail"]}
    other = row["finding"].get("other")
    if other and other["split"] != "other":
        shown["other"] = other
    return shown
