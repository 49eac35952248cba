"""What routes hold against the deployments below them: names, and revisions that rules name."""

from django.db import connection
from django.utils.translation import gettext as _

from models_app.deployments.holds import holds_revisions
from models_app.deployments.names import bears_names
from models_app.routing.models import Route

_PINNED = """
SELECT r.id
  FROM routing_route AS route
  JOIN routing_routerevision AS now ON now.id = route.current_id
  CROSS JOIN LATERAL jsonb_path_query(
       now.spec, 'strict $.**{0 to 4} ? (exists (@.revision))') AS target
  JOIN deployments_deployment AS d
    ON d.team_id = route.team_id AND d.name = target ->> 'deployment'
  JOIN deployments_revision AS r
    ON r.deployment_id = d.id AND r.number = (target ->> 'revision')::int
 WHERE route.removed_at IS NULL AND r.activated_at IS NOT NULL
   AND (%(id)s::bigint IS NULL OR d.id = %(id)s)
"""


@bears_names
def route_bears(team_id: int, name: str) -> str:
    """Why a team's name is taken."""
    if Route.objects.filter(team_id=team_id, name=name, removed_at=None).exists():
        return _("This team has a route %(name)r already.") % {"name": name}
    return ""


@holds_revisions
def pinned_revisions(deployment_id: int | None) -> set[int]:
    """Revisions that routes name as targets, fallbacks or mirrors."""
    with connection.cursor() as cursor:
        cursor.execute(_PINNED, {"id": deployment_id})
        return {row[0] for row in cursor.fetchall()}
