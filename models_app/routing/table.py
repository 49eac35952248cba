"""What the gateway keeps in memory of routes: their newest revisions."""

from collections.abc import Collection
from typing import Any

from django.apps import apps

from models_app.routing.models import Route, RouteRevision

_COLUMNS = {
    "id": "pk",
    "team_id": "team_id",
    "team": "team__slug",
    "name": "name",
    "created": "created_at",
    "revision_id": "current_id",
    "number": "current__number",
    "callers": "current__spec__callers",
}


def routing_table(known: Collection[int] = ()) -> list[dict[str, Any]]:
    """A row a route. `callers` are the ids of the teams whose keys may ask it, its own first, with
    the names that rules know them by; `spec` and `cells` are None for revisions that are `known`.
    """
    found = Route.objects.filter(removed_at=None, current__isnull=False).order_by("pk")
    rows = [
        dict(zip(_COLUMNS, values, strict=True)) for values in found.values_list(*_COLUMNS.values())
    ]
    teams = _teams({slug for row in rows for slug in row["callers"] or ()})
    contents = _contents({row["revision_id"] for row in rows} - set(known))
    for row in rows:
        row["spec"], row["cells"] = contents.get(row["revision_id"], (None, None))
        guests = {teams[slug]: slug for slug in row["callers"] or () if slug in teams}
        row["callers"] = {row["team_id"]: row["team"], **guests}
        row["name"] = f"{row['team']}/{row['name']}"
        row["created"] = int(row["created"].timestamp())
    return rows


def _teams(slugs: set[str]) -> dict[str, int]:
    if not slugs:
        return {}
    rows = apps.get_model("access.Team")._base_manager.filter(slug__in=slugs)
    return dict(rows.values_list("slug", "pk"))


def _contents(revision_ids: set[int]) -> dict[int, tuple[Any, Any]]:
    if not revision_ids:
        return {}
    rows = RouteRevision.objects.filter(pk__in=revision_ids).values_list("pk", "spec", "cells")
    return {pk: (spec, cells) for pk, spec, cells in rows}
