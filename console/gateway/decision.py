"""Where a request goes: one target, others if that one cannot answer, and copies for comparison."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from console.gateway import errors
from console.gateway.http import HttpCall
from console.gateway.keys import Key
from console.gateway.openai import Ask
from console.gateway.routes import Arm, Judge, Route

if TYPE_CHECKING:
    from console.gateway.tables import Tables

Priority = Literal["low", "normal", "high"]
#: How long a request waits at a target that is not its last, before it goes on to the next.
PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """Something that could answer."""

    route: Route
    #: None: the arm by its share of the requests, the same one for the same caller.
    arm: Arm | None = None
    adapter: str = ""
    #: What the record and the caller are told if this one answers; empty: nothing is lacking.
    degraded: str = ""
    #: Seconds of waiting here before the next target is tried; the last one waits as its
    #: configuration says.
    patience_s: float = PATIENCE_S
    #: This arm and no other one, even when it is gone.
    exact: bool = False
    #: Who compares the answer of a copy that goes here.
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one request, before anything was asked."""

    #: In order: the next one is asked when one has no replica, is busy, or failed.
    targets: tuple[Target, ...]
    #: Name of the rule that decided; empty without a route.
    rule: str = ""
    #: Get a copy of the request; nobody gets their answers.
    mirrors: tuple[Target, ...] = ()
    priority: Priority = "normal"
    #: Whoever should always be on the same side of a split.
    sticky: str = ""
    #: The route whose rule decided, for what is told of its mirror.
    routed_by: int | None = None


def decide(tables: "Tables", key: Key, call: HttpCall, ask: Ask) -> Decision:
    """The decision for a deployment, an adapter or a version, or GatewayError 404."""
    found = tables.routes.find(ask.model)
    if found is None or not key.may_ask(found[0].team_id):
        raise errors.model_not_found(ask.model)
    route, adapter = found
    target = Target(route, adapter=adapter)
    return Decision((target,), mirrors=mirrors(route, adapter), sticky=caller(key, ask))


def caller(key: Key, ask: Ask) -> str:
    """Who asks, as far as splits are concerned: the owner of the key and his own `user`."""
    return f"{key.user_id}:{ask.user}"


def mirrors(route: Route, adapter: str) -> tuple[Target, ...]:
    """The arms of this route that get a copy of this request."""
    if len(route.arms) == 1:
        return ()
    chosen = [arm for arm in route.arms[1:] if random.random() * 100 < arm.mirror_percent]
    return tuple(Target(route, arm, adapter, judge=arm.judge) for arm in chosen)
