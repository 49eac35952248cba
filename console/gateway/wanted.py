"""A request on its way to a replica: whose it is, how much work, where it may go."""

import asyncio
import time
from typing import TYPE_CHECKING

from console.gateway import errors
from console.gateway.decision import Decision, Target
from console.gateway.experience import choices, most_tokens
from console.gateway.keys import Key
from console.gateway.line import LEVELS
from console.gateway.openai import Ask
from console.gateway.replicas import Replica
from console.gateway.routes import Arm, Route

if TYPE_CHECKING:
    from console.gateway.seats import Seat


class Wanted:
    """A request that needs a seat, once or again."""

    __slots__ = (
        "adapter",
        "ask",
        "block_work",
        "deadline",
        "deadline_s",
        "entered",
        "future",
        "level",
        "most",
        "patience_s",
        "pinned",
        "prefix",
        "refused_s",
        "served",
        "size",
        "sticky",
        "target",
        "tenant",
        "tried",
        "user",
        "waited",
        "waking",
        "width",
        "work",
    )

    def __init__(
        self, ask: Ask, key: Key, decision: Decision, target: Target, deadline: float
    ) -> None:
        self.ask = ask
        self.target = target
        self.sticky = decision.sticky
        self.adapter = target.adapter
        self.level = LEVELS[decision.priority]
        self.tenant = key.tenant
        self.user = key.user_id
        self.deadline = deadline
        self.deadline_s = round(deadline - time.monotonic())
        #: None: as long as the configuration lets it.
        self.patience_s = None if target is decision.targets[-1] else target.patience_s
        self.width = choices(ask.fields)
        self.size = len(ask.body)
        self.most = most_tokens(ask.fields)
        self.tried: set[Replica] = set()
        #: The revision that has begun the answer, as it was then: no other may go on with it.
        self.pinned: Arm | None = None
        #: Seconds after which a replica that was full would take it; 0 if none was.
        self.refused_s = 0
        self.prefix: list[int] = []
        self.work = self.block_work = 0.0
        self.entered = 0.0
        self.served = False
        #: Seconds spent in line, and those of them without any replica.
        self.waited = self.waking = 0.0
        self.future: asyncio.Future[Seat] | None = None

    def arm(self, route: Route) -> Arm:
        """The revision for this request as the table is now, or GatewayError 503 where a rule
        names one that is gone.
        """
        pinned = self.pinned
        if pinned is not None:
            # One that was replaced meanwhile is not in the table; its replicas are still warm.
            same = (a for a in route.arms if a.revision_id == pinned.revision_id)
            return next(same, pinned)
        target = self.target
        if target.arm is None:
            arm = route.share(self.sticky)
        else:
            wanted = target.arm.revision_id
            found = next((a for a in route.arms if a.revision_id == wanted), None)
            if found is None and target.exact:
                raise errors.no_replica(f"{route.name} r{target.arm.number}")
            arm = found or route.active
        if target.exact or (arm.replicas and self._fits(arm)):
            return arm
        # Better the other side than none: the active revision, or one that gets requests anyway.
        sides = [a for a in route.arms if a.percent > 0 or a is route.active]
        sides = [a for a in sides if self._fits(a)] or [arm]
        return next((a for a in sides if a.replicas), arm if self._fits(arm) else sides[0])

    def _fits(self, arm: Arm) -> bool:
        """Whether the revision has the adapter: in a roll-out perhaps only one of the two has."""
        return not self.adapter or self.adapter in arm.adapters
