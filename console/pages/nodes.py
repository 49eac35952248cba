"""The page of nodes: which workers there are, what they have, and when they were last heard of."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from models_app.core.permission import require
from models_app.jobs.models import Job
from models_app.jobs.selectors import pool_depth
from models_app.jobs.states import HELD
from models_app.pools.selectors import node_list


@login_required
def node_page(request: HttpRequest) -> HttpResponse:
    """All nodes with their running jobs; for platform admins."""
    actor: Any = request.user
    require(actor, "pools.view_node")
    running: dict[str, list[Job]] = {}
    for job in (
        Job.objects.filter(state__in=sorted(HELD)).select_related("team").order_by("id")[:500]
    ):
        running.setdefault(job.node_name, []).append(job)
    nodes = [{"node": node, "jobs": running.get(node.name, [])} for node in node_list()]
    return render(request, "nodes/list.html", {"nodes": nodes, "depth": pool_depth()})


urlpatterns = [path("nodes/", node_page, name="node_list")]
