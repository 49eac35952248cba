"""Views of node pages: the list of all, and one with everything that is known of it."""

import datetime as dt
import math
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.pages.meters import amount, node_meters, together
from console.pages.nodes.actions import node_for
from console.pages.nodes.health import concerns, devices
from console.pages.nodes.speed import speed
from console.pages.nodes.words import reason_words
from models_app.audit.actions import action_label
from models_app.audit.selectors import event_list
from models_app.core.clock import now
from models_app.core.permission import require
from models_app.jobs.draining import occupants
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.room import Room
from models_app.jobs.states import JobState
from models_app.pools.models import Node
from models_app.pools.selectors import carries
from models_app.pools.selectors import node_list as nodes_of
from models_app.pools.services.registration import BY_HAND
from models_app.pools.states import ALLOWED, NodeState

PER_PAGE = 50
#: What needs somebody comes first.
ORDER = [
    NodeState.QUARANTINED,
    NodeState.UNREACHABLE,
    NodeState.DRAINING,
    NodeState.CORDONED,
    NodeState.READY,
]


@login_required
def node_list(request: HttpRequest) -> HttpResponse:
    """All nodes, filtered by what the URL says; for platform admins."""
    actor: Any = request.user
    require(actor, "pools.view_node")
    room = Room()
    everything = list(nodes_of())
    chosen = {name: request.GET.get(name, "") for name in ("q", "state", "pool")}
    found = sorted(_matching(everything, room, chosen), key=_urgency)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    pools = sorted(pool.name for pool in room.pools.values())
    taking = sum(1 for node in everything if _takes_jobs(node))
    return render(
        request,
        "nodes/list.html",
        {
            "page": page,
            "rows": [_row(node, room) for node in page.object_list],
            "filters": [
                {
                    "name": "state",
                    "label": _("Any state"),
                    "value": chosen["state"],
                    "options": [(s.value, s.label) for s in ORDER],
                },
                {
                    "name": "pool",
                    "label": _("Any pool"),
                    "value": chosen["pool"],
                    "options": [(name, name) for name in pools],
                },
            ],
            "search": {"value": chosen["q"], "placeholder": _("Name or label")},
            "result": ngettext("%(n)s node", "%(n)s nodes", len(found)) % {"n": len(found)},
            "total": len(everything),
            "taking": taking,
            "away": len(everything) - taking,
            "together": together(room, everything),
            "waiting": Job.objects.filter(state=JobState.PENDING).count(),
            "lost": lost_together(everything),
            "may_manage": actor.has_perm("pools.manage_node"),
        },
    )


@login_required
def node_detail(request: HttpRequest, name: str) -> HttpResponse:
    """One node: what it does, what is on it and why, what happened to it."""
    actor, node = node_for(request, name)
    room = Room()
    held = Job.objects.filter(
        node_name=node.name, state=JobState.PENDING, hold_until__isnull=False
    ).aggregate(until=Max("hold_until"))["until"]
    there = occupants(node)
    return render(
        request,
        "nodes/detail.html",
        {
            "node": node,
            "by_hand": node.state_reason.startswith(BY_HAND),
            "reason": reason_words(node.state_reason),
            "held_until": held,
            "pools": [p for p in room.pools.values() if carries(node, p.selector)],
            "meters": node_meters(room.free[node.name]),
            "concerns": concerns(node),
            "devices": devices(node),
            "speed": speed(node),
            "occupants": there,
            "drain": drain_progress(node, len(there)),
            "attempts": _attempts(node),
            "events": _events(actor, node),
            "may": _may(actor, node),
            **_facts(node),
        },
    )


def _facts(node: Node) -> dict[str, Any]:
    """Figures of the machine in words."""
    health = node.health or {}
    return {
        "signed_off": node.last_seen_at.year <= 1970,
        "whole_cpus": math.ceil(node.cpus),
        "memory": amount("memory_mib", node.memory_mib),
        "memory_free": amount("memory_mib", health.get("memory_free_mib", 0)),
        "disk_free": amount("disk_mib", health.get("disk_free_mib", 0)),
        "skew": next((c.text for c in concerns(node) if c.icon == "clock"), ""),
    }


def _attempts(node: Node) -> list[Any]:
    """The newest attempts on the node; `took` is how long each ran, or has run."""
    rows: list[Any] = list(
        JobAttempt.objects.filter(node_name=node.name)
        .select_related("job__team")
        .order_by("-pk")[:12]
    )
    for row in rows:
        row.took = (row.ended_at or now()) - row.started_at
    return rows


def lost_together(nodes: Iterable[Node]) -> dict[str, Any] | None:
    """The nodes that fell silent at once, with the jobs that are held back for them."""
    lost = [
        node.name
        for node in nodes
        if node.state == NodeState.QUARANTINED and not node.state_reason.startswith(BY_HAND)
    ]
    held = Job.objects.filter(state=JobState.PENDING, hold_until__isnull=False)
    count = held.count()
    if not lost and not count:
        return None
    until = held.aggregate(until=Max("hold_until"))["until"]
    return {"names": lost, "count": len(lost), "held": count, "until": until}


def drain_progress(node: Node, left: int) -> dict[str, Any] | None:
    """How far a drain is: how many have gone, how many are still there, how much time is left."""
    if node.state != NodeState.DRAINING:
        return None
    since = node.state_changed_at or now()
    gone = JobAttempt.objects.filter(node_name=node.name, ended_at__gte=since).count()
    deadline = node.drain_deadline_at
    span = (deadline - since) if deadline else dt.timedelta()
    passed = 100 * (now() - since) / span if span else 100.0
    return {
        "gone": gone,
        "left": left,
        "all": gone + left,
        "percent": 100 * gone / (gone + left) if gone + left else 100.0,
        "time_percent": min(100.0, passed),
        "deadline": deadline,
        "late": deadline is not None and deadline <= now(),
    }


def _matching(nodes: list[Node], room: Room, chosen: dict[str, str]) -> Iterable[Node]:
    wanted = chosen["q"].strip().lower()
    pool = next((p for p in room.pools.values() if p.name == chosen["pool"]), None)
    for node in nodes:
        words = [node.name, *(f"{key}={value}" for key, value in node.labels.items())]
        if chosen["state"] and node.state != chosen["state"]:
            continue
        if chosen["pool"] and (pool is None or not carries(node, pool.selector)):
            continue
        if not wanted or any(wanted in word.lower() for word in words):
            yield node


def _urgency(node: Node) -> tuple[int, str]:
    return ORDER.index(NodeState(node.state)), node.name


def _takes_jobs(node: Any) -> bool:
    return node.state == NodeState.READY and bool(node.ready)


def _row(node: Node, room: Room) -> dict[str, Any]:
    held = {meter.name: meter for meter in node_meters(room.free[node.name])}
    pools = [pool for pool in room.pools.values() if pool.selector and carries(node, pool.selector)]
    return {
        "node": node,
        "reason": reason_words(node.state_reason),
        "meters": [held.get(name) for name in ("slots", "cpus", "memory_mib", "gpus")],
        "pools": sorted(pool.name for pool in pools),
        "labels": sorted(node.labels.items()),
        "concerns": concerns(node),
        "hottest": max((gpu["degrees"] or 0 for gpu in devices(node)), default=0),
        "signed_off": node.last_seen_at.year <= 1970,
        "may": _ways(node),
    }


def _ways(node: Node) -> dict[str, bool]:
    """What can be done with a node in its state."""
    ways = ALLOWED[node.state]
    silent = node.state == NodeState.UNREACHABLE
    return {
        "cordon": NodeState.CORDONED in ways,
        "uncordon": NodeState.READY in ways and not silent,
        "drain": NodeState.DRAINING in ways or node.state == NodeState.DRAINING,
        "quarantine": NodeState.QUARANTINED in ways,
        "remove": NodeState.REMOVED in ways and node.state != NodeState.DRAINING,
    }


def _may(actor: Any, node: Node) -> dict[str, bool]:
    manages = actor.has_perm("pools.manage_node")
    return {"manage": manages, **{way: manages and can for way, can in _ways(node).items()}}


def _events(actor: Any, node: Node) -> list[dict[str, Any]]:
    rows = event_list(actor=actor, object_type="node", object_id=str(node.pk))[:10]
    return [
        {
            "at": row.at,
            "who": row.actor_label,
            "what": action_label(row.action),
            "why": reason_words(str(row.changes.get("reason") or "")),
        }
        for row in rows
    ]
