"""What the page of one route shows: rules as sentences, shares, figures, history."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from console.pages.routes.words import rule_sentence, sticky_words, test_words
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse
from models_app.routing.comparison import route_changes
from models_app.routing.conditions import TESTS
from models_app.routing.explaining import Explanation, Verdict, route_explain
from models_app.routing.hypothetical import Hypothetical, facts_of
from models_app.routing.models import Route
from models_app.routing.selectors import route_revision_list
from models_app.routing.spec import DEFAULT, RouteSpec, Target
from models_app.routing.statistics import Share, mirror_report, route_shares

REVISIONS_SHOWN = 10
TONES = ("blue", "cyan", "violet", "green", "amber", "neutral")


@dataclass(frozen=True, kw_only=True)
class RuleView:
    """A rule with what came of it in the last hour."""

    name: str
    sentence: str
    locked: bool
    priority: str
    sticky: str
    max_tokens: int | None
    targets: list[dict[str, Any]]
    fallback: list[Target] | None
    requests: int
    percent: float
    shares: list[Share]


def route_context(actor: Any, row: Route, asked: QueryDict) -> dict[str, Any]:
    """The page of a route."""
    assert row.current is not None
    spec = RouteSpec.model_validate(row.current.spec)
    shares = route_shares(row)
    revisions: list[Any] = list(route_revision_list(actor=actor, route=row)[: REVISIONS_SHOWN + 1])
    for newer, older in pairwise(revisions):
        newer.changes = route_changes(older.spec, newer.spec)
    shown = revisions[:REVISIONS_SHOWN]
    return {
        "route": row,
        "spec": spec,
        "newest": row.current,
        "model_name": f"{row.team.slug}/{row.name}",
        "topic": f"route.{row.pk}",
        "sticky": sticky_words(spec.sticky_by),
        "rules": rule_views(spec, shares),
        "requests": sum(share.requests for share in shares),
        "others": [s for s in shares if s.rule not in {n for n, _t in spec.targets_by_rule()}],
        "mirror": mirror_report(row, spec.mirror.deployment) if spec.mirror else None,
        "revisions": shown,
        "more_revisions": row.revisions.count() - len(shown),
        "may": {
            verb: actor.has_perm(f"routing.{verb}_route", row) for verb in ("change", "delete")
        },
        **tester_context(actor, row, asked),
    }


def rule_views(spec: RouteSpec, shares: list[Share]) -> list[RuleView]:
    """Every rule, and at the end what no rule matches."""
    by_rule: dict[str, list[Share]] = defaultdict(list)
    for share in shares:
        by_rule[share.rule].append(share)
    whole = sum(share.requests for share in shares)
    views = [
        _view(
            rule.name,
            rule_sentence(rule),
            rule.targets,
            by_rule[rule.name],
            whole,
            locked=rule.locked,
            priority=rule.priority or "",
            sticky=sticky_words(rule.sticky_by) if rule.sticky_by else "",
            max_tokens=rule.max_tokens,
            fallback=rule.fallback,
        )
        for rule in spec.rules
    ]
    last = _("Everything else.") if spec.rules else _("Every request.")
    return [*views, _view(DEFAULT, last, spec.targets, by_rule[DEFAULT], whole)]


def _view(
    name: str,
    sentence: str,
    targets: list[Target],
    shares: list[Share],
    whole: int,
    **more: Any,
) -> RuleView:
    requests = sum(share.requests for share in shares)
    start, parts = 0.0, []
    for number, target in enumerate(targets):
        parts.append(
            {
                "target": target,
                "weight": target.weight,
                "start": start,
                "tone": TONES[number % len(TONES)],
            }
        )
        start += target.weight
    given = {"locked": False, "priority": "", "sticky": "", "max_tokens": None, "fallback": None}
    return RuleView(
        name=name,
        sentence=sentence,
        targets=parts,
        requests=requests,
        percent=100.0 * requests / whole if whole else 0.0,
        shares=shares,
        **{**given, **more},
    )


def tester_context(actor: Any, row: Route, asked: QueryDict) -> dict[str, Any]:
    """The question in the address of the page, and its answer; errors by field."""
    names = ("tenant", "token", "user", "adapter", "headers", "prompt", "at")
    question = {name: asked.get(name, "")[:8000] for name in names}
    context: dict[str, Any] = {"question": question, "answer": None, "question_errors": {}}
    if "ask" not in asked:
        return context
    try:
        given = parse(Hypothetical, _asked(question))
        facts = facts_of(row, given)
        found = route_explain(actor=actor, route=row, facts=facts, adapter=given.adapter)
    except InvalidInput as error:
        errors = {path.partition(".")[0]: texts for path, texts in error.errors.items()}
        return {**context, "question_errors": errors}
    return {**context, "answer": found, "verdicts": _verdicts(found)}


def _asked(question: dict[str, str]) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for line in question["headers"].splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise InvalidInput({"headers": _("Write one header a line, as x-plan: pro.")})
        headers[name.strip()] = value.strip()
    names = ("tenant", "token", "user", "adapter")
    given: dict[str, Any] = {name: question[name].strip() for name in names}
    if question["at"]:
        given["at"] = question["at"]
    messages = [{"role": "user", "content": question["prompt"]}]
    return {**given, "headers": headers, "body": {"messages": messages}}


def _verdicts(found: Explanation) -> list[dict[str, Any]]:
    """Rules with their conditions flat, each as deep as it lies."""
    return [
        {"rule": rule, "rows": [row for v in rule.conditions for row in _rows(v, 0)]}
        for rule in found.rules
    ]


def _rows(verdict: Verdict, depth: int) -> list[dict[str, Any]]:
    assert verdict.test in TESTS
    own = {"verdict": verdict, "depth": depth, "words": test_words(verdict.test)}
    return [own, *(row for inner in verdict.inner for row in _rows(inner, depth + 1))]
