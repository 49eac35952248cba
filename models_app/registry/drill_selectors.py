"""Reads drills and their plans, and says which versions come next."""

import datetime as dt
from typing import Any

from django.db.models import F, Max, Q, QuerySet

from models_app.core.actor import Actor
from models_app.core.teams import team_rows
from models_app.registry.drills import Drill, DrillPlan
from models_app.registry.models import ModelVersion
from models_app.registry.records import Verdict
from models_app.registry.states import Stage, VersionState
from models_app.registry.use import version_users


def drill_list(*, actor: Actor) -> QuerySet[Drill]:
    """Drills of your teams, newest first."""
    rows = Drill.objects.visible_to(actor).select_related(
        "team", "reproduction__version__model__team", "reproduction__job"
    )
    return rows.order_by("-id")


def drill_plans(*, actor: Actor, most: int = 200) -> list[DrillPlan]:
    """The plan of each of your teams; a team that has none yet gets one that is off."""
    teams = list(team_rows(actor)[:most])
    found = {row.team_id: row for row in DrillPlan.objects.filter(team__in=teams)}
    return [_with_team(found.get(team.pk) or DrillPlan(), team) for team in teams]


def _with_team(plan: DrillPlan, team: Any) -> DrillPlan:
    plan.team = team
    return plan


def drill_candidates(team_id: int) -> QuerySet[ModelVersion]:
    """Versions of a team in production or deployed, those first that were rebuilt longest ago.

    What is being rebuilt at this moment is left out.
    """
    used = {pk for user in version_users for pk in user.version_ids(team_id)}
    rows = ModelVersion.objects.filter(model__team_id=team_id, state=VersionState.READY)
    relied_on: QuerySet[ModelVersion] = (
        rows.filter(Q(stage=Stage.PRODUCTION) | Q(pk__in=used))
        .exclude(reproductions__verdict=Verdict.PENDING)
        .annotate(rebuilt_at=Max("reproductions__created_at"))
        .select_related("model__team", "produced_by__pool", "config_revision", "dataset_version")
        .order_by(F("rebuilt_at").asc(nulls_first=True), "pk")
    )
    return relied_on


def proven_at(version: ModelVersion) -> dt.datetime | None:
    """When the version was last rebuilt and came out equal, or None: never."""
    rows = version.reproductions.filter(verdict=Verdict.EQUAL).order_by("-id")
    return rows.values_list("finished_at", flat=True).first()
