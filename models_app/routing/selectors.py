"""Reads routes and their revisions, filtered by what the actor may see."""

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import NotFound
from models_app.deployments.models import Deployment
from models_app.routing.models import Route, RouteRevision

RELATED = ("team", "environment", "created_by", "current__author")


def _rows(actor: Actor) -> QuerySet[Route]:
    rows = Route.objects.visible_to(actor).filter(removed_at=None)
    return rows.select_related(*RELATED)


def route_list(
    *, actor: Actor, team: str = "", environment: str = "", name: str = "", query: str = ""
) -> QuerySet[Route]:
    """Routes by name."""
    rows = _rows(actor)
    if team:
        rows = rows.filter(team__slug=team)
    if environment:
        rows = rows.filter(environment__name=environment)
    if name:
        rows = rows.filter(name=name)
    if query:
        rows = rows.filter(
            Q(name__icontains=query) | Q(current__spec__description__icontains=query)
        )
    return rows.order_by("team__slug", "name")


def route_get(*, actor: Actor, route_id: int) -> Route:
    """One route, or NotFound."""
    found = _rows(actor).filter(pk=route_id).first()
    if found is None:
        raise NotFound(_("There is no such route."))
    return found


def route_by_name(*, actor: Actor, team: str, name: str) -> Route:
    """One route by its public name, or NotFound."""
    found = _rows(actor).filter(team__slug=team, name=name).first()
    if found is None:
        raise NotFound(_("There is no such route."))
    return found


def routes_to(*, actor: Actor, deployment: Deployment) -> list[Route]:
    """Routes that send requests or copies to a deployment, let it step in, or let it judge."""
    rows = _rows(actor).filter(team_id=deployment.team_id).order_by("name")
    return [row for row in rows if deployment.name in _named(row)]


def _named(row: Route) -> set[str]:
    spec = row.current.spec if row.current else {}
    ways = [spec, *spec.get("rules", ())]
    names = {t["deployment"] for way in ways for t in way.get("targets", ())}
    names |= {t["deployment"] for way in ways for t in way.get("fallback", ())}
    mirror = spec.get("mirror") or {}
    return names | {mirror[part] for part in ("deployment", "judge") if part in mirror}


def route_revision_list(*, actor: Actor, route: Route) -> QuerySet[RouteRevision]:
    """Its revisions, newest first."""
    rows = RouteRevision.objects.visible_to(actor).filter(route=route)
    return rows.select_related("route__team", "author").order_by("-number")


def route_revision_numbered(*, actor: Actor, route: Route, number: int) -> RouteRevision:
    """A revision of a route by its number, or NotFound."""
    row = route_revision_list(actor=actor, route=route).filter(number=number).first()
    if row is None:
        said = _("%(name)s has no revision r%(n)s.")
        raise NotFound(said % {"name": route.name, "n": number})
    return row
