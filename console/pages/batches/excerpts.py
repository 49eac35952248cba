"""What the page of a batch shows out of its files: first answers, and why requests have none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from models_app.batches.models import Batch
from models_app.core.blobs import BlobMissing, blob_open

#: How many answers, and how many reasons, the page shows.
SHOWN = 5
#: Of a file of errors so many lines are looked at; the rest is only to be downloaded.
LOOKED_AT = 5000


@dataclass(slots=True)
class Reason:
    """Requests that were not answered for the same reason; `message` is that of the first one."""

    code: str
    message: str
    first: str
    count: int = 0


def first_answers(batch: Batch) -> list[dict[str, Any]]:
    """The first answers in words."""
    rows = islice(_lines(batch.output_file), SHOWN)
    return [{"id": row["custom_id"], "text": _said(row["response"]["body"])} for row in rows]


def error_reasons(batch: Batch) -> list[Reason]:
    """Why requests have no answer, the most frequent reasons first."""
    found: dict[str, Reason] = {}
    for row in islice(_lines(batch.error_file), LOOKED_AT):
        error = row["response"]["body"]["error"]
        code = str(error.get("code") or error.get("type") or "error")
        message, first = str(error.get("message") or ""), str(row["custom_id"])
        found.setdefault(code, Reason(code, message, first)).count += 1
    return sorted(found.values(), key=lambda reason: -reason.count)[:SHOWN]


def _lines(file: Any) -> Iterator[dict[str, Any]]:
    """Rows of a file of the batch; none where it is not there."""
    if file is None:
        return
    try:
        with blob_open(file.sha256) as lines:
            yield from map(json.loads, lines)
    except BlobMissing:
        return


def _said(body: dict[str, Any]) -> str:
    choice = (body.get("choices") or [{}])[0]
    text = (choice.get("message") or {}).get("content") or choice.get("text")
    if text is None:
        return _("%(n)s numbers") % {"n": len((body.get("data") or [{}])[0].get("embedding", []))}
    return str(text)
