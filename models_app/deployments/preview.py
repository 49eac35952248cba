"""What a new revision would do, before it exists: steps, room, downtime, the way back."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from models_app.configs.specs import ServingSpec
from models_app.deployments.comparison import MIB, way_back
from models_app.deployments.digest import same_but_replicas
from models_app.deployments.footprint import replica_bytes
from models_app.deployments.loading_time import loading_time
from models_app.deployments.models import Deployment
from models_app.deployments.planning import Planned, plan_rollout
from models_app.deployments.steps import WATCHED, Step, unasked
from models_app.registry.models import ModelVersion

#: From the order to leave until a drained replica's place is free, with nothing running there.
LEAVING_S = 4.0


def rollout_plan(
    deployment: Deployment, version: ModelVersion, spec: ServingSpec
) -> dict[str, Any]:
    """The plan as plain values, with sentences for people. Nothing is stored or reserved."""
    each = replica_bytes(version, spec.plain())
    environment = deployment.environment
    alike = _alike(deployment, version, spec)
    planned = plan_rollout(
        deployment,
        spec,
        strategy="blue_green" if alike and spec.strategy in WATCHED else spec.strategy,
        wanted=_wanted(deployment, spec),
    )
    steps = unasked(planned.steps) if alike else planned.steps
    load = loading_time(version)
    down = _downtime(planned, load.seconds)
    return {
        "replicas_to_start": planned.wanted,
        "memory_per_replica_bytes": each,
        "memory_total_bytes": each * planned.wanted,
        "approvals_needed": environment.required_approvals if environment.protected else 0,
        "environment": environment.name,
        "strategy": planned.strategy,
        "room": planned.room,
        "pool": planned.places.pool,
        "places_free": planned.free,
        "replicas_serving": planned.old,
        "loading_seconds": load.seconds,
        "loading_measured": load.measured,
        "downtime_seconds": down,
        "steps": [
            {**step.plain(), "text": step_text(step, wanted=planned.wanted, old=planned.old)}
            for step in steps
        ],
        "summary": _summary(planned.wanted, each, environment),
        "room_text": _room_text(planned),
        "downtime_text": _downtime_text(planned, down, load.measured, spec),
        "running_text": _running_text(planned),
        "warnings": _warnings(planned, down, spec),
        "way_back": _way_back(deployment, planned) if deployment.pk else "",
    }


def _alike(deployment: Deployment, version: ModelVersion, spec: ServingSpec) -> bool:
    """Whether it is what serves now in another number of replicas: there is nothing to compare."""
    active = deployment.active_revision
    if active is None or active.model_version_id != version.pk:
        return False
    return same_but_replicas(active.serving.plain(), spec.plain())


def _way_back(deployment: Deployment, planned: Planned) -> str:
    last = planned.steps[-1]
    if planned.old and last.old == 0:
        said = _("r%(n)s is not kept loaded, for its places are needed; a roll-back loads it again"
                 " in the same way.")  # fmt: skip
        active = deployment.active_revision
        return said % {"n": active.number if active else ""}
    return way_back(deployment)


def _wanted(deployment: Deployment, spec: ServingSpec) -> int:
    """As `wanted_replicas` says of a revision with these settings that rolls out."""
    if not spec.max_replicas:
        return spec.replicas
    number = spec.replicas if deployment.scaled_to is None else deployment.scaled_to
    return max(1, spec.min_replicas, min(number, spec.max_replicas))


def step_text(step: Step, *, wanted: int, old: int) -> str:
    """One sentence: what a step does."""
    new = wanted if step.new is None else step.new
    kept = old if step.old is None else step.old
    words = {
        "new": ngettext("%(n)s new replica", "%(n)s new replicas", new) % {"n": new},
        "old": ngettext("%(n)s old replica", "%(n)s old replicas", kept) % {"n": kept},
        "percent": step.percent or step.mirror,
        "s": step.bake_s,
    }
    if step.kind == "adapters":
        text = _("The replicas that serve load and unload adapters; none is replaced.")
    elif step.kind == "swap":
        text = _("The old replicas finish and stop; after them %(new)s.")
    elif step.kind == "start":
        text = _("%(new)s beside the old ones, without requests yet.")
    elif step.kind == "shadow":
        text = _("%(new)s with copies of %(percent)s %% of the requests, watched for %(s)s seconds;"
                 " nobody gets these answers.")  # fmt: skip
    elif step.kind in WATCHED:
        text = _("%(new)s with %(percent)s %% of the requests, watched for %(s)s seconds; %(old)s"
                 " with the rest.")  # fmt: skip
    elif step.kind == "replace":
        text = _("%(old)s and %(new)s, each with its part of the requests.")
    elif step.old is None and not old:
        text = _("%(new)s; requests go there as soon as all are ready.")
    elif not kept:
        text = _("The old replicas leave and give their places to %(new)s; all requests go there"
                 " as soon as they are ready.")  # fmt: skip
    else:
        text = _("All requests to %(new)s as soon as all are ready; %(old)s until then.")
    text %= words
    return text + " " + _("A person begins the next step.") if step.person else text


def _summary(replicas: int, each: int, environment: Any) -> str:
    start = ngettext(
        "Starts %(n)s replica with about %(mib)s MiB of memory.",
        "Starts %(n)s replicas with about %(mib)s MiB of memory each.",
        replicas,
    ) % {"n": replicas, "mib": each // MIB}
    if not environment.protected:
        return start + " " + _("The roll-out begins at once: the environment is not protected.")
    needed = environment.required_approvals
    ask = ngettext(
        "%(n)s approval is needed before that.", "%(n)s approvals are needed before that.", needed
    )
    return start + " " + ask % {"n": needed}


def _room_text(planned: Planned) -> str:
    words = {
        "free": planned.free, "wanted": planned.wanted, "pool": planned.places.pool,
        "old": planned.old,
    }  # fmt: skip
    if not planned.old:
        text = (
            _("The pool %(pool)s has room for it now.")
            if planned.free >= planned.wanted
            else _("The pool %(pool)s has room for %(free)s of %(wanted)s replicas now.")
        )
    elif planned.room == "surge":
        text = ngettext(
            "The pool %(pool)s has room for the new replica beside the old ones.",
            "The pool %(pool)s has room for all %(wanted)s new replicas beside the old ones.",
            planned.wanted,
        )
    elif planned.room == "drain_first":
        text = _("The pool %(pool)s has room for %(free)s of %(wanted)s new replicas, so old ones"
                 " leave first and give their places to new ones.")  # fmt: skip
    else:
        text = _("The pool %(pool)s has room for %(free)s of %(wanted)s new replicas, even with the"
                 " places of the old ones. They wait for room, and after 20 minutes it is given up;"
                 " the old ones go on meanwhile.")  # fmt: skip
    return text % words


def _downtime(planned: Planned, load: float) -> float:
    """Seconds in which nothing answers, as far as anybody can know."""
    new = 0
    for step in planned.steps:
        if planned.old and step.old == 0 and new == 0:
            return round(LEAVING_S + load, 1)
        new = planned.wanted if step.new is None else step.new
    return 0.0


def _downtime_text(planned: Planned, down: float, measured: bool, spec: ServingSpec) -> str:
    if not planned.old:
        return ""
    if not down:
        return _("No downtime: something answers at every moment.")
    said = _("About %(s)s seconds in which nothing answers; requests of that time are held.")
    basis = _("Measured when this version was loaded before.") if measured else _("An estimate by"
              " the size of the version, which was never loaded yet.")  # fmt: skip
    return f"{said % {'s': f'{down:g}'}} {basis}"


def _running_text(planned: Planned) -> str:
    if not planned.old:
        return ""
    return _("Answers that are running finish where they are; only new requests move.")


def _warnings(planned: Planned, down: float, spec: ServingSpec) -> list[str]:
    found = []
    watched = any(step.kind in WATCHED for step in planned.steps)
    if planned.strategy in WATCHED and not watched and planned.old:
        found.append(_("There is no room for both revisions at once, so nothing can be compared"
                       " before the switch."))  # fmt: skip
    if down > spec.queue_wait_s:
        said = _("Requests wait for at most %(s)s seconds and are refused after that.")
        found.append(said % {"s": spec.queue_wait_s})
    if planned.releases:
        numbers = ", ".join(f"r{row.number}" for row in planned.releases)
        said = _("%(revisions)s, kept warm for a way back, is stopped to make room.")
        found.append(said % {"revisions": numbers})
    if planned.room == "short" and spec.capacity != "surge":
        found.append(_("Add a node to the pool, or choose fewer replicas."))
    return found
