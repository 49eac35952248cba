"""Routes are written as immutable, numbered revisions, of which the newest decides."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from models_app.approvals.models import Environment
from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.digests import digest_json
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_slug, clean_title
from models_app.core.permission import require
from models_app.deployments.names import name_free, name_lock
from models_app.deployments.services.locking import reconcile_soon
from models_app.events.publish import publish_on_commit
from models_app.jobs.idempotency import KEY, key_clean
from models_app.routing.allotment import allot_all
from models_app.routing.comparison import route_changes
from models_app.routing.models import Route, RouteRevision
from models_app.routing.services.targets import check_targets
from models_app.routing.spec import RouteSpec, route_spec


@transaction.atomic
def route_create(
    *,
    actor: Actor,
    team: Any,
    name: str,
    environment: Environment,
    spec: Mapping[str, Any],
    reason: str = "",
    idempotency_key: str | None = None,
    prefix: str = "spec",
) -> Route:
    """A name that clients can ask from now on. A repeated key gives the route that it made.

    Raises InvalidInput with dotted paths under `prefix`, and for a name that a deployment has.
    """
    require(actor, "routing.add_route", team)
    key = key_clean(idempotency_key)
    checked = route_spec(dict(spec), prefix)
    name = clean_slug(name)
    name_lock(team.pk, name)
    known = Route.objects.select_related("current", "team", "environment").filter(
        team=team, idempotency_key=key
    )
    if key is not None and (earlier := known.first()) is not None:
        return _repeated(earlier, name, environment, checked)
    name_free(team.pk, name)
    try:
        with transaction.atomic():
            route = Route.objects.create(
                team=team,
                created_by_id=actor.pk,
                name=name,
                environment=environment,
                idempotency_key=key,
            )
    except IntegrityError:
        said = _("Another route is being made with this key. Use a new key.")
        raise Conflict(said, field=KEY) from None
    check_targets(actor, route, checked, None, f"{prefix}." if prefix else "")
    revision = _store(actor, route, checked, reason)
    audit_record(
        actor=actor,
        action="route.created",
        obj=route,
        changes={"environment": environment.name, "digest": revision.digest},
    )
    return route


@transaction.atomic
def route_revise(
    *,
    actor: Actor,
    route: Route,
    spec: Mapping[str, Any],
    reason: str,
    base: int | None = None,
    prefix: str = "spec",
) -> Route:
    """The next revision, which decides at once. What equals the newest one changes nothing.

    `base` is the number of the revision that was changed. Raises Conflict with what changed since,
    FieldError for a missing reason, InvalidInput with dotted paths under `prefix`.
    """
    require(actor, "routing.change_route", route)
    checked = route_spec(dict(spec), prefix)
    row, newest = locked(route)
    if base is not None and base != newest.number:
        raise _overtaken(row, base, newest)
    if checked.plain() == newest.spec:
        return row
    if not reason.strip():
        said = _("Say why, in one line: it stands beside the revision for good.")
        raise FieldError("reason", said)
    before = RouteSpec.model_validate(newest.spec)
    check_targets(actor, row, checked, before, f"{prefix}." if prefix else "")
    revision = _store(actor, row, checked, reason)
    audit_record(
        actor=actor,
        action="route.revised",
        obj=revision,
        changes={
            "number": revision.number,
            "digest": revision.digest,
            "changes": [change.to_dict() for change in route_changes(newest.spec, revision.spec)],
        },
    )
    return row


@transaction.atomic
def route_roll_back(
    *,
    actor: Actor,
    route: Route,
    to: int | None = None,
    reason: str = "",
    base: int | None = None,
) -> Route:
    """An earlier revision decides again, as a new one; everybody is back on the side they were.

    Without `to` it is the one before the newest. What it names must still be fit to answer.
    """
    require(actor, "routing.change_route", route)
    row, newest = locked(route)
    if base is not None and base != newest.number:
        raise _overtaken(row, base, newest)
    number = newest.number - 1 if to is None else to
    if number == newest.number:
        raise FieldError("to", _("r%(n)s decides already.") % {"n": number})
    target = row.revisions.filter(number=number).first()
    if target is None:
        if to is None:
            raise WrongState(_("There is no earlier revision to go back to."))
        said = _("%(name)s has no revision r%(n)s.")
        raise FieldError("to", said % {"name": row.name, "n": number})
    spec = route_spec(target.spec)
    check_targets(actor, row, spec, RouteSpec.model_validate(newest.spec))
    revision = _store(
        actor,
        row,
        spec,
        reason if reason.strip() else f"Back to r{target.number}.",
        cells=target.cells,
        back_to=target.number,
    )
    audit_record(
        actor=actor,
        action="route.rolled_back",
        obj=revision,
        changes={"from": newest.number, "to": target.number, "reason": revision.reason},
    )
    return row


@transaction.atomic
def route_remove(*, actor: Actor, route: Route, reason: str = "", base: int | None = None) -> None:
    """Nobody can ask it any more, and its name is free. Its revisions stay in the records."""
    require(actor, "routing.delete_route", route)
    row, newest = locked(route)
    if base is not None and base != newest.number:
        raise _overtaken(row, base, newest)
    row.removed_at = now()
    Route.objects.filter(pk=row.pk).update(removed_at=row.removed_at)
    text = clean_title(reason, "reason") if reason.strip() else ""
    audit_record(
        actor=actor,
        action="route.removed",
        obj=row,
        changes={"reason": text, "digest": newest.digest},
    )
    _announce(row)


def locked(route: Route) -> tuple[Route, RouteRevision]:
    """The locked row and its newest revision; WrongState for a route that is gone."""
    rows = Route.objects.select_for_update(no_key=True, of=("self",))
    row = rows.select_related("team", "environment", "current").get(pk=route.pk)
    if row.removed_at is not None:
        raise WrongState(_("%(name)s is removed.") % {"name": row.name})
    assert row.current is not None
    return row, row.current


def _store(
    actor: Actor,
    route: Route,
    spec: RouteSpec,
    reason: str,
    *,
    cells: dict[str, Any] | None = None,
    back_to: int | None = None,
) -> RouteRevision:
    plain = spec.plain()
    before = route.current
    if cells is None:
        cells = allot_all(dict(spec.targets_by_rule()), before.cells if before else {})
    revision = RouteRevision.objects.create(
        route=route,
        number=before.number + 1 if before else 1,
        spec=plain,
        cells=cells,
        digest=digest_json(plain),
        reason=clean_title(reason, "reason") if reason.strip() else "",
        back_to=back_to,
        author_id=actor.pk,
    )
    Route.objects.filter(pk=route.pk).update(current=revision)
    route.current = revision
    _announce(route)
    return revision


def _announce(route: Route) -> None:
    """Tell pages and the gateway after commit; what rules named may have become free to leave."""
    topics = [f"route.{route.pk}", f"team.{route.team_id}"]
    publish_on_commit("route.changed", {"id": route.pk}, *topics)
    publish_on_commit("routes.changed", {"route": route.pk}, "gateway")
    reconcile_soon()


def _repeated(earlier: Route, name: str, environment: Environment, spec: RouteSpec) -> Route:
    first = earlier.revisions.get(number=1)
    same = (earlier.name, earlier.environment_id, first.spec) == (
        name,
        environment.pk,
        spec.plain(),
    )
    if not same:
        said = _("The route %(name)s came with this key and is another one. Use a new key.")
        raise Conflict(said % {"name": earlier.name}, field=KEY, route=earlier.pk)
    return earlier


def _overtaken(route: Route, base: int, newest: RouteRevision) -> Conflict:
    seen = route.revisions.filter(number=base).first()
    changes = route_changes(seen.spec, newest.spec) if seen else []
    said = _("r%(new)s was stored in the meantime; this was written on r%(old)s.")
    return Conflict(
        said % {"new": newest.number, "old": base},
        newest=newest.number,
        changes=[change.to_dict() for change in changes],
    )
