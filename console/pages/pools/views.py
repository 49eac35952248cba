"""Views of pool pages: the list, and one with limits, teams, nodes and what waits for it."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.pages.meters import LABELS, pool_meters
from console.pages.pools.holders import holdings
from models_app.core.actor import Actor
from models_app.core.teams import team_rows
from models_app.jobs.models import Job
from models_app.jobs.resources import COUNTED
from models_app.jobs.room import Room
from models_app.jobs.states import PLACED, JobState
from models_app.jobs.waiting import why_waiting
from models_app.pools.models import Pool
from models_app.pools.selectors import pool_get
from models_app.pools.selectors import pool_list as pools_of

#: So many waiting jobs are shown with their reason.
WAITING_SHOWN = 15
#: So many nodes at most; the page of nodes shows all, to those who may see it.
NODES_SHOWN = 40
MANAGE = "pools.manage_pool"
#: (pool, "waiting" or "placed") -> how many jobs.
Counts = dict[tuple[int, str], int]


@login_required
def pool_list(request: HttpRequest) -> HttpResponse:
    """Pools that the reader's teams may use; platform admins see all."""
    actor: Any = request.user
    room = Room()
    counts = _counts()
    rows = [_row(actor, pool, room, counts) for pool in pools_of(actor=actor)]
    return render(
        request,
        "pools/list.html",
        {"rows": rows, "topics": topics(actor), "may_manage": actor.has_perm(MANAGE)},
    )


@login_required
def pool_detail(request: HttpRequest, name: str) -> HttpResponse:
    """One pool."""
    actor: Any = request.user
    pool = pool_get(actor=actor, name=name)
    room = Room()
    rows, others = holdings(actor=actor, pool=pool, room=room)
    waiting = (
        Job.objects.visible_to(actor)
        .filter(pool=pool, state=JobState.PENDING)
        .select_related("team")
        .order_by("-priority", "pk")
    )
    nodes = _nodes(room, pool)
    shown, count = list(waiting[:WAITING_SHOWN]), waiting.count()
    return render(
        request,
        "pools/detail.html",
        {
            "pool": pool,
            "meters": pool_meters(room, pool.pk),
            "limited": ", ".join(
                str(LABELS[name]) for name in COUNTED if getattr(pool, name) is not None
            ),
            "holdings": rows,
            "others": others,
            "nodes": nodes[:NODES_SHOWN],
            "num_nodes": len(nodes),
            "more_nodes": max(0, len(nodes) - NODES_SHOWN),
            "waiting": [{"job": job, "why": why_waiting(job=job, room=room)} for job in shown],
            "num_waiting": count,
            "others_waiting": _counts().get((pool.pk, "waiting"), 0) - count,
            "teams": _teams(actor, pool),
            "topics": topics(actor),
            "may_manage": actor.has_perm(MANAGE),
            "may_see_nodes": actor.has_perm("pools.view_node"),
        },
    )


def topics(actor: Actor) -> str:
    """What the page listens to: everything, or the reader's teams."""
    if actor.visible_team_ids() is None:
        return "all"
    return " ".join(f"team.{team.pk}" for team in team_rows(actor)[:40])


def _counts() -> Counts:
    """How many jobs wait in each pool, and how many hold a place."""
    found: Counts = {}
    for what, states in (("waiting", [JobState.PENDING]), ("placed", sorted(PLACED))):
        rows = Job.objects.filter(state__in=states).values("pool_id").annotate(n=Count("pk"))
        found |= {(row["pool_id"], what): row["n"] for row in rows.order_by()}
    return found


def _row(actor: Actor, pool: Pool, room: Room, counts: Counts) -> dict[str, Any]:
    members = room.members(pool)
    return {
        "pool": pool,
        "meters": pool_meters(room, pool.pk),
        "nodes": len(members),
        "ready": sum(1 for node in members if _takes_jobs(node)),
        "waiting": counts.get((pool.pk, "waiting"), 0),
        "placed": counts.get((pool.pk, "placed"), 0),
        "teams": _teams(actor, pool),
    }


def _teams(actor: Actor, pool: Pool) -> dict[str, Any]:
    """Who may use it: teams that the reader sees by name, how many more."""
    teams = list(pool.teams.all())
    visible = actor.visible_team_ids()
    shown = [team for team in teams if visible is None or team.pk in visible]
    return {"all": not teams, "shown": shown, "more": len(teams) - len(shown)}


def _takes_jobs(node: Any) -> bool:
    return node.state == "ready" and bool(node.ready)


def _nodes(room: Room, pool: Pool) -> list[dict[str, Any]]:
    rows = []
    for node in room.members(pool):
        free = room.free[node.name]
        rows.append({"node": node, "load": 100 * free.load(), "jobs": int(free.used["slots"])})
    # What takes no jobs explains a full pool, so it comes first.
    return sorted(rows, key=lambda row: (_takes_jobs(row["node"]), -row["load"], row["node"].name))
