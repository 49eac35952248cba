"""What the palette finds: models, datasets, jobs, deployments, nodes and pools by name."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.utils.translation import gettext as _

from console.pages.navigation import url_or_none
from models_app.datasets.models import Dataset
from models_app.deployments.models import Deployment
from models_app.jobs.selectors import job_list
from models_app.pools.selectors import node_list, pool_list
from models_app.registry.models import Model
from models_app.routing.selectors import route_list

EACH = 5


@login_required
def search(request: HttpRequest) -> JsonResponse:
    """At most five of each kind, only what the person may see."""
    query = request.GET.get("q", "").strip()[:100]
    if len(query) < 1:
        return JsonResponse({"results": []})
    return JsonResponse({"results": [row for row in _results(request.user, query) if row["href"]]})


def _results(actor: Any, query: str) -> Iterable[dict[str, Any]]:
    for group, icon, kind, page in (
        (_("Models"), "cube", Model, "model_detail"),
        (_("Datasets"), "database", Dataset, "dataset_detail"),
        (_("Deployments"), "rocket", Deployment, "deployment_detail"),
    ):
        rows = kind.objects.visible_to(actor).filter(name__icontains=query).select_related("team")
        for row in rows.order_by("name")[:EACH]:
            href = url_or_none(page, row.team.slug, row.name)
            yield {
                "group": group,
                "icon": icon,
                "label": row.name,
                "sub": row.team.slug,
                "href": href,
            }
    yield from _routes(actor, query)
    yield from _places(actor, query)
    for job in job_list(actor=actor, query=query)[:EACH]:
        href = url_or_none("job_detail", job.pk)
        sub = f"#{job.pk} · {job.get_state_display()}"
        yield {"group": _("Jobs"), "icon": "bolt", "label": job.title, "sub": sub, "href": href}


def _routes(actor: Any, query: str) -> Iterable[dict[str, Any]]:
    rows = route_list(actor=actor).filter(name__icontains=query)
    for row in rows.order_by("name")[:EACH]:
        yield {
            "group": _("Routes"),
            "icon": "arrows-split-2",
            "label": row.name,
            "sub": row.team.slug,
            "href": url_or_none("route_detail", row.team.slug, row.name),
        }


def _places(actor: Any, query: str) -> Iterable[dict[str, Any]]:
    """Nodes, for who may see them, and pools."""
    if actor.has_perm("pools.view_node"):
        for node in node_list().filter(name__icontains=query)[:EACH]:
            yield {
                "group": _("Nodes"),
                "icon": "server-2",
                "label": node.name,
                "sub": node.get_state_display(),
                "href": url_or_none("node_detail", node.name),
            }
    for pool in pool_list(actor=actor).filter(name__icontains=query)[:EACH]:
        yield {
            "group": _("Pools"),
            "icon": "stack-2",
            "label": pool.name,
            "sub": pool.description[:60],
            "href": url_or_none("pool_detail", pool.name),
        }


urlpatterns = [path("search/", search, name="search")]
