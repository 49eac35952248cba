"""Finds documents of a version: those that hold a text, those behind a figure of its report."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError
from models_app.core.names import check_length, one_of
from models_app.datasets.lengths import document_text
from models_app.datasets.models import DatasetVersion
from models_app.datasets.policy import MEASURES
from models_app.datasets.quality import finding_rows, index_place, quality_of
from models_app.datasets.selectors import MOST_ROWS, SPLITS, lines_from, version_rows

#: At most this much is read by one search; the next one goes on where it ended.
SEARCH_BYTES = 16 << 20


def rows_search(
    *, version: DatasetVersion, text: str, split: str = "train", offset: int = 0, limit: int = 50
) -> tuple[list[dict[str, Any]], int | None]:
    """Documents from `offset` on that hold `text` (small and capital letters alike), and where to
    go on: None at the end of the split.
    """
    _check(split, offset, limit)
    check_length(text, "q", 200)
    found: list[dict[str, Any]] = []
    wanted, read, at = text.lower(), 0, offset
    for line in lines_from(version, split, offset):
        if read > SEARCH_BYTES or len(found) >= limit:
            return found, at
        read += len(line)
        record = json.loads(line)
        if wanted in document_text(record).lower():
            found.append({"index": at, **record})
        at += 1
    return found, None


def rows_of_finding(
    *, version: DatasetVersion, measure: str, split: str = "", offset: int = 0, limit: int = 50
) -> tuple[list[dict[str, Any]], int | None]:
    """Documents behind a figure: `{index, split, finding, …}`, and where to go on.

    A row that is not a document any more, such as broken JSON, has only its finding.
    """
    if measure not in MEASURES:
        raise FieldError("finding", one_of(MEASURES))
    _check(split or SPLITS[0], offset, limit)
    named, more = finding_rows(
        quality_of(version), measure, split=split, offset=offset, limit=limit
    )
    rows = [{**row, **_document(version, row)} for row in map(_named, named)]
    return rows, offset + limit if more else None


def rows_at(
    *, version: DatasetVersion, split: str, numbers: Iterable[int]
) -> dict[int, dict[str, Any]]:
    """The documents of these numbers, read in one pass.

    Where no check has made an index, those that lie too far inside the split are left out.
    """
    _check(split, 0, 1)
    found: dict[int, dict[str, Any]] = {}
    lines: Iterator[bytes] = iter(())
    read, at = 0, -1
    for number in sorted(set(numbers)):
        *_place, near = index_place(version, split, number)
        if at < 0 or near > at:
            at, lines = near, lines_from(version, split, near)
        for line in lines:
            at, read = at + 1, read + len(line)
            if at > number:
                found[number] = {"index": number, **json.loads(line)}
                break
            if read > SEARCH_BYTES:
                return found
    return found


def _named(row: dict[str, Any]) -> dict[str, Any]:
    finding = {"detail": row["detail"], **({"other": row["other"]} if "other" in row else {})}
    return {"split": row["split"], "index": row["index"], "finding": finding}


def _document(version: DatasetVersion, row: dict[str, Any]) -> dict[str, Any]:
    try:
        rows = version_rows(version=version, split=row["split"], offset=row["index"], limit=1)
    except (ValueError, TypeError):
        return {}
    return next(iter(rows), {})


def _check(split: str, offset: int, limit: int) -> None:
    if split not in SPLITS:
        raise FieldError("split", _("Choose one of %(known)s.") % {"known": ", ".join(SPLITS)})
    if not 0 <= offset <= 10**12:
        raise FieldError("offset", _("Use a whole number from 0."))
    if not 1 <= limit <= MOST_ROWS:
        raise FieldError("limit", _("Use a number from 1 to %(most)s.") % {"most": MOST_ROWS})
