"""Pages as OpenAI's clients turn them: `limit`, and `after` the key of the last row seen."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from console.finetuning.errors import missing, wrong


def limit_of(request: HttpRequest, most: int, usual: int) -> int:
    """How many rows are wanted."""
    text = request.GET.get("limit", "")
    if not text:
        return usual
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= most:
        raise wrong("limit", f"Use a number from 1 to {most}.")
    return int(text)


def page(
    request: HttpRequest,
    rows: Any,
    shape: Callable[[Any], dict[str, Any]],
    *,
    most: int = 100,
    usual: int = 20,
    order: str = "desc",
) -> dict[str, Any]:
    """One page of rows that have a `key`, by number."""
    limit, after = limit_of(request, most, usual), request.GET.get("after", "")
    if after:
        seen = rows.filter(key=after).values_list("pk", flat=True).first()
        if seen is None:
            raise missing("object", after)
        rows = rows.filter(pk__lt=seen) if order == "desc" else rows.filter(pk__gt=seen)
    found = list(rows.order_by("-pk" if order == "desc" else "pk")[: limit + 1])
    return listed([shape(row) for row in found[:limit]], more=len(found) > limit)


def listed(data: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """The object around the rows of a page."""
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"object": "list", "data": data, "has_more": more, **ends}
