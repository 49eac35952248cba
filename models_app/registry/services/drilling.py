"""Drills are planned by people and begun by the clock: one version of a team in each period."""

import logging
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.clock import now
from models_app.core.errors import FieldError, SlipwayError
from models_app.core.permission import require
from models_app.events.publish import publish_on_commit
from models_app.registry.drill_selectors import drill_candidates
from models_app.registry.drills import Drill, DrillPlan
from models_app.registry.services.reproducing import reproduction_start

logger = logging.getLogger(__name__)

#: Behind the jobs that people wait for.
PRIORITY = -10
LONGEST_PERIOD = 3650
#: Versions that one drill tries before it waits for the next period.
MOST_TRIED = 50
#: A period is claimed by whoever moves `fired_at`; what was missed meanwhile is not made up for.
CLAIM = """
UPDATE registry_drillplan SET fired_at = clock_timestamp()
 WHERE id = %s AND is_on
   AND (fired_at IS NULL
        OR fired_at <= clock_timestamp() - make_interval(days => COALESCE(days, %s)::int))
RETURNING id
"""


@transaction.atomic
def drill_plan_set(*, actor: Actor, team: Any, is_on: bool, days: int | None = None) -> DrillPlan:
    """Switch the drills of a team on or off; `days` is the period, None that of the installation.

    The first drill follows with the next tick.
    """
    require(actor, "registry.plan_drills", team)
    if days is not None and not 1 <= days <= LONGEST_PERIOD:
        raise period_refused()
    DrillPlan.objects.get_or_create(team=team)
    plan = DrillPlan.objects.select_for_update().get(team=team)
    before = {"is_on": plan.is_on, "days": plan.days}
    plan.is_on, plan.days = is_on, days
    plan.changed_by_id, plan.changed_at = actor.pk, now()
    plan.save(update_fields=["is_on", "days", "changed_by", "changed_at"])
    changes = {"from": before, "to": {"is_on": is_on, "days": days}}
    audit_record(actor=actor, action="drill.planned", obj=plan, changes=changes)
    _announce(plan.team_id)
    return plan


def period_refused() -> FieldError:
    """What is no number of days between drills."""
    return FieldError("days", _("Use a number from 1 to %(most)s.") % {"most": LONGEST_PERIOD})


def drills_due() -> list[Drill]:
    """Begin the drills whose time has come, each team for itself; called by the clock."""
    if not settings.DRILL_DAYS:
        return []
    begun = []
    for pk in DrillPlan.objects.filter(is_on=True).order_by("pk").values_list("pk", flat=True):
        try:
            drill = _drill_if_due(pk)
        except Exception:
            # Nothing of it is kept, so the next tick tries again.
            logger.exception("drill of plan %s not begun", pk)
            continue
        if drill is not None:
            begun.append(drill)
    return begun


@transaction.atomic
def _drill_if_due(plan_id: int) -> Drill | None:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [plan_id, settings.DRILL_DAYS])
        if cursor.fetchone() is None:
            return None
    return drill_start(team=DrillPlan.objects.select_related("team").get(pk=plan_id).team)


@transaction.atomic
def drill_start(*, actor: Actor = SYSTEM, team: Any) -> Drill:
    """Rebuild the version of a team that was rebuilt longest ago, of those that people rely on.

    What cannot be rebuilt is passed over, and the drill says why.
    """
    require(actor, "registry.plan_drills", team)
    reproduction, passed_over = None, []
    for version in drill_candidates(team.pk)[:MOST_TRIED]:
        try:
            # What is stored stays English, as others read it too.
            with translation.override("en"):
                reproduction = reproduction_start(actor=actor, version=version, priority=PRIORITY)
            break
        except SlipwayError as error:
            passed_over.append({"version": version.pk, "name": str(version), "why": str(error)})
    drill = Drill.objects.create(team=team, reproduction=reproduction, passed_over=passed_over)
    changes = {
        "reproduction": reproduction.pk if reproduction else None,
        "version": str(reproduction.version) if reproduction else None,
        "passed_over": [row["name"] for row in passed_over],
    }
    action = "drill.started"
    if reproduction is None:
        action = "drill.passed_over"
    audit_record(actor=actor, action=action, obj=drill, changes=changes)
    _announce(drill.team_id)
    return drill


def _announce(team_id: int) -> None:
    publish_on_commit("drill.changed", {"team": team_id}, f"team.{team_id}")
