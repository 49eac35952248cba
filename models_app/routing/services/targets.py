"""Whether a route may send requests where its rules say."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.core.teams import team_rows
from models_app.deployments.judges import judge_problem
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.services.standing import why_not_run
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.routing.models import Route
from models_app.routing.spec import Mirror, RouteSpec, Target

ROLL_OUT = "deployments.roll_out_deployment"


def check_targets(
    actor: Actor, route: Route, spec: RouteSpec, before: RouteSpec | None, prefix: str = ""
) -> None:
    """InvalidInput with a sentence for each field that names what cannot be asked.

    Sending requests somewhere is a roll-out: the actor needs the permission for it on every
    deployment that may answer. A route of a protected environment reaches no other one.
    """
    asked = [*spec.answering()]
    names = {target.deployment for _path, target in asked}
    if spec.mirror is not None:
        names.add(spec.mirror.deployment)
    rows = Deployment.objects.filter(team_id=route.team_id, name__in=names)
    found = {row.name: row for row in rows.select_related("environment", "team").order_by("pk")}
    for row in found.values():
        require(actor, ROLL_OUT, row)
    errors = dict(_problems(route, asked, found))
    if spec.mirror is not None:
        mirror = Target(deployment=spec.mirror.deployment, revision=spec.mirror.revision)
        errors |= dict(_target(route, "mirror", mirror, found, answers=False))
        errors |= dict(_judge(actor, route, spec.mirror, before))
    errors |= dict(_callers(actor, route, spec, before))
    if errors:
        raise InvalidInput({f"{prefix}{path}": text for path, text in errors.items()})


def _problems(
    route: Route, asked: list[tuple[str, Target]], found: Mapping[str, Deployment]
) -> Iterator[tuple[str, str]]:
    for path, target in asked:
        yield from _target(route, path, target, found)


def _target(
    route: Route,
    path: str,
    target: Target,
    found: Mapping[str, Deployment],
    answers: bool = True,
) -> Iterator[tuple[str, str]]:
    row = found.get(target.deployment)
    if row is None:
        said = _("The team has no deployment %(name)r.")
        yield f"{path}.deployment", said % {"name": target.deployment}
        return
    environment: Any = route.environment
    if answers and environment.protected and row.environment_id != environment.pk:
        said = _(
            "%(name)s is in %(there)s. A route of %(here)s sends requests only to deployments of"
            " %(here)s, whose revisions are approved."
        )
        yield (
            f"{path}.deployment",
            said % {"name": row.name, "there": row.environment.name, "here": environment.name},
        )
    elif target.revision is not None:
        why = _revision(row, target.revision)
        if why:
            yield f"{path}.revision", why


def _revision(deployment: Deployment, number: int) -> str:
    """Why one revision cannot be named; empty if it can."""
    related = Revision.objects.select_related(
        "model_version__model", "config_revision__config", "approval"
    )
    row = related.filter(deployment=deployment, number=number).first()
    if row is None:
        said = _("%(name)s has no revision r%(n)s.")
        return said % {"name": deployment.name, "n": number}
    row.deployment = deployment
    loaded = Replica.objects.filter(revision=row, state=ReplicaState.READY).exists()
    if row.state != RevisionState.ACTIVE and not (row.activated_at and loaded):
        said = _(
            "r%(n)s is not loaded. Name a revision that serves or is still warm, or leave the"
            " number out."
        )
        return said % {"n": number}
    return why_not_run(row)


def _judge(
    actor: Actor, route: Route, mirror: Mirror, before: RouteSpec | None
) -> Iterator[tuple[str, str]]:
    if mirror.judge is None:
        return
    was = before.mirror.judge if before and before.mirror else None
    why = judge_problem(
        actor, route.team_id, mirror.judge, mirror.judge_by or "likelihood",
        candidate=mirror.deployment, known=was == mirror.judge,
    )  # fmt: skip
    if why:
        yield "mirror.judge", why


def _callers(
    actor: Actor, route: Route, spec: RouteSpec, before: RouteSpec | None
) -> Iterator[tuple[str, str]]:
    """Teams that are added must be ones that the actor sees; those that stand there may stay."""
    known = set(team_rows(actor).values_list("slug", flat=True))
    known |= set(before.callers) if before else set()
    for number, slug in enumerate(spec.callers):
        if slug == route.team.slug:
            yield f"callers.{number}", _("The route's own team may ask it anyway.")
        elif slug not in known:
            yield f"callers.{number}", _("You are in no team called %(name)r.") % {"name": slug}
