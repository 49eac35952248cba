"""Which of the nodes with room for a job suits it best, and why that one."""

import logging
from typing import Any

from models_app.core.clock import now
from models_app.jobs.kind import JobKind, Wishes, job_kinds, kind_of
from models_app.jobs.models import Job
from models_app.jobs.room import HEARD_WITHIN, Room
from models_app.pools.caches import nodes_holding
from models_app.pools.models import Node

logger = logging.getLogger(__name__)

#: The parts of a score, by weight; the last one only makes the choice the same each time.
PARTS = ("alive", "gpus", "resumes", "spread", "locality", "room", "name")
Score = tuple[bool, bool, bool, int, int, float, str]


class Suitability:
    """The nodes that could take one job, compared."""

    def __init__(self, job: Job, room: Room, fitting: list[Node]) -> None:
        self._job, self._room, self._fitting = job, room, fitting
        kind = job_kinds.get(job.kind)
        # Parameters are not parsed in vain, and a job that is only thought of has none.
        wishes = type(kind).wishes is not JobKind.wishes and bool(job.params)
        self._wishes = kind.wishes(kind_of(job)[1]) if wishes else Wishes()
        self._missing = self._to_fetch()
        self._scores = {node.name: self._score(node) for node in fitting}

    def score(self, node: Node) -> Score:
        """Lower is better; of a node that fits."""
        return self._scores[node.name]

    def _score(self, node: Node) -> Score:
        """Alive; no GPU wasted; where the job was before; apart from others like it; fewer bytes to
        fetch; the emptiest."""
        job = self._job
        doubtful = now() - node.last_seen_at > HEARD_WITHIN
        wasted = bool(node.gpus) and not job.gpus
        moved = bool(job.epoch) and node.name != job.node_name
        crowd = self._wishes.crowd.get(node.name, 0)
        load = self._room.free[node.name].load()
        return doubtful, wasted, moved, crowd, self._missing.get(node.name, 0), load, node.name

    def why(self, chosen: Node) -> dict[str, Any]:
        """What spoke for the node: for people, and for the log.

        `decided_by` is the first part of the score in which it was better than the next best one,
        `only` where there was no other. `locality` says how many bytes of those that the job reads
        lie there already.
        """
        found: dict[str, Any] = {"decided_by": self._decided_by(chosen), "of": len(self._fitting)}
        if self._wishes.crowd or found["decided_by"] == "spread":
            found["crowd"] = self._wishes.crowd.get(chosen.name, 0)
        total = sum(self._wishes.blobs.values())
        if total:
            missing = self._missing.get(chosen.name, 0)
            found["locality"] = {"bytes": total - missing, "of_bytes": total}
            logger.info(
                "job %s to %s by %s; locality %d of %d bytes",
                self._job.pk, chosen.name, found["decided_by"], total - missing, total,
            )  # fmt: skip
        return found

    def _decided_by(self, chosen: Node) -> str:
        others = [score for name, score in self._scores.items() if name != chosen.name]
        if not others:
            return "only"
        pairs = zip(PARTS, self._scores[chosen.name], min(others), strict=True)
        return next(part for part, mine, best in pairs if mine != best)

    def _to_fetch(self) -> dict[str, int]:
        """Node -> bytes that it lacks of what the job reads."""
        blobs = self._wishes.blobs
        away = [node.name for node in self._fitting if not node.shares_store]
        if not blobs or not away:
            return {}
        holding = nodes_holding(away, list(blobs))
        return {
            name: sum(size for sha256, size in blobs.items() if sha256 not in holding[name])
            for name in away
        }
