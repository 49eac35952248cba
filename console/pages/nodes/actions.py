"""What operators do with a node: each is a POST, one service call, and back to the page."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from models_app.core.permission import require
from models_app.jobs.silence import held_jobs_release
from models_app.pools.models import Node
from models_app.pools.selectors import node_get
from models_app.pools.services import operations


def node_for(request: HttpRequest, name: str) -> tuple[Any, Node]:
    """The actor and the node, for those who may see nodes."""
    actor: Any = request.user
    require(actor, "pools.view_node")
    return actor, node_get(name)


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()


@login_required
@require_POST
def cordon(request: HttpRequest, name: str) -> HttpResponse:
    """No new jobs; what runs goes on."""
    actor, node = node_for(request, name)
    operations.node_cordon(actor=actor, node=node, reason=_reason(request))
    messages.success(request, _("%(node)s gets no new jobs.") % {"node": name})
    return redirect("node_detail", name)


@login_required
@require_POST
def uncordon(request: HttpRequest, name: str) -> HttpResponse:
    """Jobs again; ends a drain and a quarantine as well."""
    actor, node = node_for(request, name)
    operations.node_uncordon(actor=actor, node=node)
    messages.success(request, _("%(node)s takes jobs again.") % {"node": name})
    return redirect("node_detail", name)


@login_required
@require_POST
def quarantine(request: HttpRequest, name: str) -> HttpResponse:
    """Something is wrong with it."""
    actor, node = node_for(request, name)
    operations.node_quarantine(actor=actor, node=node, reason=_reason(request))
    messages.success(request, _("%(node)s is quarantined.") % {"node": name})
    return redirect("node_detail", name)


@login_required
@require_POST
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Forget it."""
    actor, node = node_for(request, name)
    operations.node_remove(actor=actor, node=node)
    messages.success(request, _("%(node)s is removed. Its history stays.") % {"node": name})
    return redirect("node_list")


@login_required
@require_POST
def release(request: HttpRequest, name: str) -> HttpResponse:
    """Its jobs are held back no longer."""
    actor, node = node_for(request, name)
    _said(request, held_jobs_release(actor=actor, node=node))
    return redirect("node_detail", name)


@login_required
@require_POST
def release_all(request: HttpRequest) -> HttpResponse:
    """No job is held back any longer."""
    actor: Any = request.user
    _said(request, held_jobs_release(actor=actor))
    return redirect("node_list")


def _said(request: HttpRequest, count: int) -> None:
    text = ngettext(
        "%(n)s job was let go: it starts elsewhere as soon as there is room.",
        "%(n)s jobs were let go: they start elsewhere as soon as there is room.",
        count,
    )
    messages.success(request, text % {"n": count})
