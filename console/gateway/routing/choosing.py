"""The decision of a route: which targets, in which order, and what a caller may choose itself."""

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from console.gateway import errors
from console.gateway.decision import Decision, Target, mirrors
from console.gateway.decision import decide as decide_unrouted
from console.gateway.http import HttpCall
from console.gateway.keys import Key
from console.gateway.openai import ENDPOINTS, Ask
from console.gateway.routes import Arm, Judge, Route, Routes
from console.gateway.routing.table import Routed
from models_app.core.clock import now
from models_app.routing.evaluation import Choice, with_adapter
from models_app.routing.facts import Facts
from models_app.routing.spec import Mirror
from models_app.routing.spec import Target as Named

if TYPE_CHECKING:
    from console.gateway.tables import Tables

TARGET = "x-slipway-target"
REVISION = "x-slipway-revision"
#: What a caller chose itself is recorded under this name.
CHOSEN = "chosen by the caller"
#: The longest label that a record keeps.
LABEL = 40
#: What stands behind the colon of a version's name; no adapter has such a name.
_VERSION = re.compile(r"v\d+")


def decide(tables: "Tables", key: Key, call: HttpCall, ask: Ask) -> Decision:
    """The decision for whatever the request names, or GatewayError."""
    found = find(tables, ask.model)
    if found is None:
        return decide_unrouted(tables, key, call, ask)
    return decide_routed(*found, tables.routes, key, call, ask)


def find(tables: "Tables", model: str) -> tuple[Routed, str] | None:
    """The route that is named, and the adapter or "": `team/route` or `team/route:adapter`."""
    routed = tables.routing.by_name.get(model)
    if routed is not None:
        return routed, ""
    name, _, adapter = model.rpartition(":")
    routed = tables.routing.by_name.get(name)
    if routed is None or not adapter or _VERSION.fullmatch(adapter):
        return None
    return routed, adapter


def decide_routed(
    routed: Routed, adapter: str, routes: Routes, key: Key, call: HttpCall, ask: Ask
) -> Decision:
    """The decision of a route, or GatewayError 403, 404 or 503."""
    if not routed.may_ask(key):
        raise errors.model_not_found(ask.model)
    choice = routed.evaluator.decide(facts_of(routed, key, call, ask))
    forced = _forced(routed, routes, key, call, choice)
    targets = (forced,) if forced else _targets(routed, routes, choice)
    if not targets:
        raise errors.no_replica(ask.model)
    if adapter:
        targets = _with_adapter(targets, adapter)
        if not targets:
            raise errors.no_adapter(routed.name, adapter, adapters_of(routed, routes))
    if choice.rule.max_tokens is not None:
        _cap(ask, choice.rule.max_tokens)
    return Decision(
        targets,
        rule=CHOSEN if forced else choice.rule.name,
        mirrors=_mirrors(routed, routes, choice, targets[0], adapter),
        priority=choice.rule.priority,
        sticky=choice.side,
        routed_by=routed.id,
    )


def adapters_of(routed: Routed, routes: Routes) -> list[str]:
    """Adapters that this route has for everybody, whichever of its rules decides."""
    spec = routed.evaluator.spec
    ways = [(rule.targets, rule.fallback) for rule in spec.rules] + [(spec.targets, None)]
    found: set[str] | None = None
    for targets, fallback in ways:
        chain = [*targets, *(spec.fallback if fallback is None else fallback)]
        known = (_find(routed, routes, named) for named in chain)
        own = {name for one in known if one is not None for name in _adapters(*one)}
        found = own if found is None else found & own
    return sorted(found or ())


def _adapters(route: Route, arm: Arm | None) -> frozenset[str]:
    """Adapters of a target: of one revision, or of all that get requests."""
    if arm is not None:
        return arm.adapters
    return frozenset().union(*(each.adapters for each in route.arms))


def _with_adapter(targets: tuple[Target, ...], adapter: str) -> tuple[Target, ...]:
    """Those that answer a request for the adapter, each with it if it has it."""

    def has(target: Target) -> bool:
        return adapter in _adapters(target.route, target.arm)

    left = with_adapter(targets, has)
    return tuple(replace(one, adapter=adapter) if has(one) else one for one in left)


def facts_of(routed: Routed, key: Key, call: HttpCall, ask: Ask) -> Facts:
    """What the rules of a route may ask of this request."""
    return Facts(
        tenant=routed.tenant(key),
        # Keys of pages have no token: there the person is told apart.
        token=key.prefix if key.token_id is not None else "",
        token_name=key.name,
        user=key.email,
        headers=call.headers(),
        endpoint=ENDPOINTS[call.path],
        stream=ask.stream,
        at=now(),
        request=call.request_id,
        read_body=lambda: ask.fields,
    )


def _forced(
    routed: Routed, routes: Routes, key: Key, call: HttpCall, choice: Choice
) -> Target | None:
    """What the caller's headers ask for, where no rule is locked for it and it may ask there."""
    name, number = call.header(TARGET), call.header(REVISION)
    if not name and not number:
        return None
    if choice.lock:
        raise errors.target_locked(choice.lock, TARGET if name else REVISION)
    public = name or choice.target.deployment
    public = public if "/" in public else f"{routed.team}/{public}"
    route = routes.by_name.get(public)
    if route is None or not key.may_ask(route.team_id):
        raise errors.no_target(TARGET, public)
    if not number:
        return Target(route)
    arm = _numbered(route, int(number)) if number.isdecimal() and len(number) < 10 else None
    if arm is None:
        raise errors.no_target(REVISION, f"{public} r{number}")
    return Target(route, arm, exact=True)


def _targets(routed: Routed, routes: Routes, choice: Choice) -> tuple[Target, ...]:
    """The chain as far as it is in service. Nothing is waited for while there is another one."""
    found = []
    for place, named in enumerate(choice.chain):
        known = _find(routed, routes, named)
        if known is None:
            continue
        route, arm = known
        label = _label(named, (arm or route.active).family) if place else ""
        found.append(Target(route, arm, degraded=label, patience_s=0, exact=arm is not None))
    return tuple(found)


def _find(routed: Routed, routes: Routes, named: Named | Mirror) -> tuple[Route, Arm | None] | None:
    route = routes.by_name.get(f"{routed.team}/{named.deployment}")
    if route is None:
        return None
    if named.revision is None:
        return route, None
    arm = _numbered(route, named.revision)
    return None if arm is None else (route, arm)


def _numbered(route: Route, number: int) -> Arm | None:
    return next((arm for arm in route.arms if arm.number == number), None)


def _label(named: Named, family: str) -> str:
    return "ngram" if family == "ngram" else f"fallback:{named.deployment}"[:LABEL]


def _mirrors(
    routed: Routed, routes: Routes, choice: Choice, first: Target, adapter: str
) -> tuple[Target, ...]:
    """The route's own mirror, and the candidates of a roll-out where the request goes."""
    found = mirrors(first.route, first.adapter) if first.arm is None else ()
    mirror = choice.mirror
    known = _find(routed, routes, mirror) if mirror is not None else None
    if known is None or mirror is None:
        return found
    judge = None
    if mirror.judge:
        judge = Judge(f"{routed.team}/{mirror.judge}", mirror.judge_by or "likelihood")
    copy = Target(
        *known,
        adapter=adapter if adapter in _adapters(*known) else "",
        exact=known[1] is not None,
        judge=judge,
    )
    return (copy, *found)


def _cap(ask: Ask, most: int) -> None:
    """The longest answer that a rule allows; a caller may ask for less."""
    names = [n for n in ("max_tokens", "max_completion_tokens") if n in ask.fields]
    for name in names or ["max_tokens"]:
        asked = ask.fields.get(name, most)
        if isinstance(asked, int) and not isinstance(asked, bool) and asked > most:
            asked = most
        ask.fields[name] = most if asked is None else asked
    sent = json.loads(ask.body)
    ask.body = json.dumps({**sent, **{n: ask.fields[n] for n in names or ["max_tokens"]}}).encode()
