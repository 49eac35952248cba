"""What would become of a request, and why: every rule with what each condition saw."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.deployments.models import Deployment, Replica, Revision, RevisionAdapter
from models_app.deployments.states import ReplicaState
from models_app.registry.states import VersionState
from models_app.routing.evaluation import Choice, Compiled, Evaluator, with_adapter
from models_app.routing.facts import Facts
from models_app.routing.matching import Test
from models_app.routing.models import Route
from models_app.routing.selectors import route_get
from models_app.routing.spec import CELLS, Target

#: Of a long value only the beginning is told.
SHOWN = 120


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A condition: what it asks for, what the request has, whether it holds."""

    test: str
    asked: Any
    seen: Any
    holds: bool
    inner: list["Verdict"]


@dataclass(frozen=True, kw_only=True)
class RuleVerdict:
    """A rule. `matched` only for the one that decides; later ones were `reached` by nobody."""

    name: str
    locked: bool
    matched: bool
    reached: bool
    holds: bool
    conditions: list[Verdict]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A target with how it stands now; `ready` is the number of its replicas that answer, `asleep`
    that a request starts one, and `adapters` are those that it serves.
    """

    deployment: str
    revision: int | None
    weight: float | None
    chosen: bool
    ready: int
    asleep: bool
    state: str
    family: str
    adapters: list[str]

    def __str__(self) -> str:
        return self.deployment if self.revision is None else f"{self.deployment} r{self.revision}"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The whole answer; `answers` is the first of the chain that could answer now, and `wakes` that
    nothing can and the last one, where the request waits, sleeps until it comes.

    `served` is False where an adapter is asked for that nothing of the chain has.
    """

    route: str
    revision: int
    enabled: bool
    rule: str
    locked: bool
    lock: str
    priority: str
    max_tokens: int | None
    side: str
    cell: int
    targets: list[Standing]
    chain: list[Standing]
    answers: Standing | None
    wakes: bool
    mirror: str
    rules: list[RuleVerdict]
    adapter: str
    served: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            **asdict(self),
            "of_cells": CELLS,
            "degraded": degraded_label(self),
        }


def degraded_label(found: Explanation) -> str:
    """What the answer's header x-degraded would say; empty where the target itself answers."""
    if found.answers is None or found.answers is found.chain[0]:
        return ""
    return "ngram" if found.answers.family == "ngram" else f"fallback:{found.answers.deployment}"


def route_explain(*, actor: Actor, route: Route, facts: Facts, adapter: str = "") -> Explanation:
    """What the gateway would do with a request of these facts, by the same code."""
    row = route_get(actor=actor, route_id=route.pk)
    assert row.current is not None
    evaluator = Evaluator(row.pk, row.current.spec, row.current.cells)
    choice = evaluator.decide(facts)
    stand = _standings(row, [*choice.rule.split.targets, *choice.chain])
    targets = [stand(t, t.weight, t is choice.target) for t in choice.rule.split.targets]
    chain = [stand(t, None, t is choice.target) for t in choice.chain]
    asked = _asked(chain, adapter)
    chain = _passed_over(chain, asked, adapter)
    answers = next((one for one in chain if one.ready), None)
    return Explanation(
        route=f"{row.team.slug}/{row.name}",
        revision=row.current.number,
        enabled=evaluator.spec.enabled,
        rule=choice.rule.name,
        locked=choice.rule.locked,
        lock=choice.lock,
        priority=choice.rule.priority,
        max_tokens=choice.rule.max_tokens,
        side=choice.side,
        cell=choice.cell,
        targets=targets,
        chain=chain,
        answers=answers,
        wakes=evaluator.spec.enabled and answers is None and bool(asked) and asked[-1].asleep,
        mirror=str(choice.mirror) if choice.mirror else "",
        rules=_verdicts(evaluator.rules, choice, facts),
        adapter=adapter,
        served=not adapter or any(adapter in one.adapters for one in chain),
    )


def _asked(chain: list[Standing], adapter: str) -> list[Standing]:
    """Those of the chain that the gateway asks."""
    if not adapter:
        return chain
    return list(with_adapter(chain, lambda one: adapter in one.adapters))


def _passed_over(chain: list[Standing], asked: list[Standing], adapter: str) -> list[Standing]:
    """The whole chain, in which the others say so, and answer nothing."""
    left = {id(one) for one in asked}
    said = _("It has no adapter %(name)s: not asked.") % {"name": adapter}
    return [one if id(one) in left else replace(one, ready=0, state=said) for one in chain]


def _verdicts(rules: Sequence[Compiled], choice: Choice, facts: Facts) -> list[RuleVerdict]:
    found, reached = [], True
    for rule in rules:
        conditions = [_verdict(test, facts) for test in rule.tests]
        found.append(
            RuleVerdict(
                name=rule.name,
                locked=rule.locked,
                matched=rule is choice.rule,
                reached=reached,
                holds=all(verdict.holds for verdict in conditions),
                conditions=conditions,
            )
        )
        reached = reached and rule is not choice.rule
    return found


def _verdict(test: Test, facts: Facts) -> Verdict:
    condition = test.condition
    seen = test.observed(facts)
    asked = None
    if not test.inner:
        asked = condition.model_dump(mode="json", by_alias=True, exclude_none=True)[condition.test]
    return Verdict(
        test=condition.test,
        asked=asked,
        seen=seen[:SHOWN] if isinstance(seen, str) else seen,
        holds=test.holds(facts),
        inner=[_verdict(inner, facts) for inner in test.inner],
    )


def _standings(route: Route, targets: Sequence[Target]) -> Any:
    names = {target.deployment for target in targets}
    related = ("active_revision__model_version__model",)
    rows = Deployment.objects.filter(team_id=route.team_id, name__in=names).select_related(*related)
    deployments = {row.name: row for row in rows}
    ready = _ready(deployments.values())
    adapters = _adapters(deployments.values())
    numbers = {
        (revision.deployment_id, revision.number): revision
        for revision in Revision.objects.filter(
            deployment__in=deployments.values(),
            number__in=[t.revision for t in targets if t.revision is not None],
        ).select_related("model_version__model")
    }

    def stand(target: Target, weight: float | None, chosen: bool) -> Standing:
        row = deployments.get(target.deployment)
        revision: Revision | None = row.active_revision if row else None
        if row is not None and target.revision is not None:
            revision = numbers.get((row.pk, target.revision))
        count = ready.get(revision.pk, 0) if revision is not None else 0
        return Standing(
            deployment=target.deployment,
            revision=target.revision,
            weight=weight,
            chosen=chosen,
            ready=0 if row is None or row.stopped_at else count,
            asleep=not count and _asleep(row),
            state=_state(row, revision, count),
            family=revision.model_version.model.family if revision else "",
            adapters=adapters.get(revision.pk, []) if revision is not None else [],
        )

    return stand


def _adapters(deployments: Any) -> Mapping[int, list[str]]:
    """By revision, those that are in use."""
    found: dict[int, list[str]] = {}
    rows = RevisionAdapter.objects.filter(
        revision__deployment__in=deployments, model_version__state=VersionState.READY
    ).order_by("name")
    for pk, name in rows.values_list("revision_id", "name"):
        found.setdefault(pk, []).append(name)
    return found


def _ready(deployments: Any) -> Mapping[int, int]:
    counts: dict[int, int] = {}
    rows = Replica.objects.filter(
        state=ReplicaState.READY, revision__deployment__in=deployments
    ).values_list("revision_id", flat=True)
    for pk in rows:
        counts[pk] = counts.get(pk, 0) + 1
    return counts


def _asleep(row: Deployment | None) -> bool:
    return row is not None and row.stopped_at is None and row.scaled_to == 0


def _state(row: Deployment | None, revision: Revision | None, ready: int) -> str:
    """One sentence of how a target stands."""
    if row is None or revision is None:
        return _("Nothing serves here.")
    if row.stopped_at:
        return _("The deployment is stopped.")
    if ready:
        return _("Ready.")
    if _asleep(row):
        return _("It sleeps: a request wakes it.")
    return _("No replica is ready.")
