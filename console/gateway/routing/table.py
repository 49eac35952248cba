"""The routes in memory: each evaluator is made once, when its revision is first seen."""

import logging
from collections.abc import Iterable
from typing import Any

from console.gateway.keys import Key
from models_app.routing.evaluation import Evaluator

logger = logging.getLogger(__name__)


class Routed:
    """A route that may be asked."""

    __slots__ = ("callers", "created", "evaluator", "id", "name", "revision_id", "team", "team_id")

    def __init__(self, row: dict[str, Any], evaluator: Evaluator) -> None:
        self.id: int = row["id"]
        self.name: str = row["name"]
        self.team_id: int = row["team_id"]
        self.team: str = row["team"]
        self.created: int = row["created"]
        self.revision_id: int = row["revision_id"]
        #: Teams whose keys may ask it, and what rules call them.
        self.callers: dict[int, str] = row["callers"]
        self.evaluator = evaluator

    def may_ask(self, key: Key) -> bool:
        """Whether the key is of a team that may ask this route, and the route is switched on."""
        return self.evaluator.spec.enabled and any(key.may_ask(team) for team in self.callers)

    def tenant(self, key: Key) -> str:
        """For which team the key asks: its own, or the route's where it stands for several."""
        own = self.callers.get(int(key.tenant)) if key.tenant.isdecimal() else None
        if own is not None:
            return own
        if key.may_ask(self.team_id):
            return self.team
        return next((slug for team, slug in self.callers.items() if key.may_ask(team)), "")


class Routing:
    """All routes by name. Replaced as a whole."""

    def __init__(self) -> None:
        self.by_name: dict[str, Routed] = {}
        #: Revisions that were complained about.
        self._unreadable: set[int] = set()

    def known(self) -> list[int]:
        """Revisions whose contents need not be read again."""
        return [routed.revision_id for routed in self.by_name.values()]

    def apply(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take over a fresh table. A route that cannot be read is left out, the others stay."""
        known = {routed.revision_id: routed.evaluator for routed in self.by_name.values()}
        fresh = {}
        for row in rows:
            evaluator = known.get(row["revision_id"]) or self._evaluator(row)
            if evaluator is not None:
                fresh[row["name"]] = Routed(row, evaluator)
        self.by_name = fresh

    def _evaluator(self, row: dict[str, Any]) -> Evaluator | None:
        if row["spec"] is None:
            return None  # became known and was forgotten meanwhile: the next round brings it
        try:
            return Evaluator(row["id"], row["spec"], row["cells"])
        except (ValueError, KeyError, TypeError):
            if row["revision_id"] not in self._unreadable:
                logger.exception("the route %s r%s cannot be read", row["name"], row["number"])
            self._unreadable.add(row["revision_id"])
            return None
