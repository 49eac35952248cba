"""Who holds how much of a pool: its teams by share, those that the reader may not see as one."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from console.pages.meters import held_words
from models_app.core.actor import Actor
from models_app.core.teams import team_rows
from models_app.jobs.models import Job
from models_app.jobs.resources import COUNTED
from models_app.jobs.room import Room
from models_app.jobs.states import JobState
from models_app.pools.models import Pool


@dataclass(kw_only=True)
class Holding:
    """What a team holds: the largest share of a resource, and each resource in words."""

    team: Any
    weight: float = 1.0
    waiting: int = 0
    held: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0.0))
    percent: float = 0.0

    @property
    def words(self) -> str:
        """Everything that is held."""
        return held_words(self.held)


def holdings(*, actor: Actor, pool: Pool, room: Room) -> tuple[list[Holding], Holding | None]:
    """Teams that may use the pool or do, who holds most first; others of them as one.

    The reader sees the teams that are theirs; what all others hold and wait for is one line.
    """
    visible = {team.pk: team for team in team_rows(actor)}
    named = {team.pk for team in pool.teams.all()}
    held = {team for pk, team in room.held if pk == pool.pk and any(room.held[pk, team].values())}
    waiting = _waiting(pool)
    shared = {team.pk for team in visible.values() if team.slug in pool.shares}
    size, rest = room.size(pool.pk), Holding(team=None)
    rows = []
    for pk in sorted(named | held | set(waiting) | shared):
        row = rest
        if pk in visible:
            row = Holding(team=visible[pk], weight=float(pool.shares.get(visible[pk].slug, 1)))
            rows.append(row)
        row.waiting += waiting.get(pk, 0)
        for name in COUNTED:
            row.held[name] += room.held[pool.pk, pk][name]
    for row in (*rows, rest):
        row.percent = max((100 * row.held[n] / size[n] for n in COUNTED if size[n]), default=0.0)
    rows.sort(key=lambda row: (-row.percent, -row.waiting, row.team.slug))
    return rows, rest if rest.waiting or any(rest.held.values()) else None


def _waiting(pool: Pool) -> dict[int, int]:
    rows = Job.objects.filter(state=JobState.PENDING, pool=pool).values("team_id")
    return {row["team_id"]: row["n"] for row in rows.annotate(n=Count("pk")).order_by()}
