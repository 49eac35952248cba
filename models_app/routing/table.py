"""What the gateway keeps in memory of routes: their newest revisions."""

from typing import Any

from django.apps import apps

from models_app.routing.models import Route


def routing_table() -> list[dict[str, Any]]:
    """A row a route. `callers` are the ids of the teams whose keys may ask it, its own first, with
    the names that rules know them by.
    """
    rows = list(
        Route.objects.filter(removed_at=None, current__isnull=False)
        .order_by("pk")
        .values_list(
            "pk",
            "team_id",
            "team__slug",
            "name",
            "created_at",
            "current_id",
            "current__number",
            "current__spec",
            "current__cells",
        )
    )
    wanted = {slug for row in rows for slug in row[7].get("callers", ())}
    teams = apps.get_model("access.Team")._base_manager.filter(slug__in=wanted)
    ids: dict[str, int] = dict(teams.values_list("slug", "pk")) if wanted else {}
    return [
        {
            "id": pk,
            "team_id": team_id,
            "team": team,
            "name": f"{team}/{name}",
            "created": int(created_at.timestamp()),
            "revision_id": revision_id,
            "number": number,
            "spec": spec,
            "cells": cells,
            "callers": {
                team_id: team,
                **{ids[slug]: slug for slug in spec.get("callers", ()) if slug in ids},
            },
        }
        for pk, team_id, team, name, created_at, revision_id, number, spec, cells in rows
    ]
