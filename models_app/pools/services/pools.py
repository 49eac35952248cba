"""Pools: made, changed and deleted by operators."""

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_slug
from models_app.core.permission import require
from models_app.events.publish import publish_on_commit
from models_app.pools.models import Pool
from models_app.pools.services.operations import clean_labels

DEFAULT = "default"
#: Words that stand in the place of a pool's name in addresses.
RESERVED = {"new"}
LIMITS = ("slots", "cpus", "memory_mib", "disk_mib", "gpus")


def pool_default() -> Pool:
    """The pool of jobs that name none: every node, every team. Made anew should it be missing."""
    pool = Pool.objects.filter(is_default=True).first()
    return pool or Pool.objects.get_or_create(name=DEFAULT, defaults={"is_default": True})[0]


def pool_for(*, team: Any, name: str = "") -> Pool:
    """The pool of that name for jobs of this team, or the default one; or FieldError."""
    if not name:
        return pool_default()
    rows = Pool.objects.filter(Q(teams=None) | Q(teams=team)).distinct()
    pool = rows.filter(name=name).first()
    if pool is None:
        known = ", ".join(sorted(rows.values_list("name", flat=True))) or "–"
        raise FieldError(
            "pool",
            _("There is no pool “%(name)s” for this team. Choose one of: %(known)s.")
            % {"name": name, "known": known},
        )
    return pool


@transaction.atomic
def pool_create(*, actor: Actor, name: str, teams: Any = (), **fields: Any) -> Pool:
    """A new pool: nodes that carry all labels of `selector`, for `teams` (all, if empty)."""
    require(actor, "pools.manage_pool")
    name = clean_slug(name)
    if name in RESERVED:
        said = _("This name is used by the console itself. Choose another one.")
        raise FieldError("name", said)
    if Pool.objects.filter(name=name).exists():
        raise Conflict(_("There is a pool called %(name)s already.") % {"name": name})
    pool = Pool.objects.create(name=name, **_checked(fields))
    pool.teams.set(teams)
    audit_record(actor=actor, action="pool.created", obj=pool, changes=fields)
    _announce(pool)
    return pool


@transaction.atomic
def pool_update(*, actor: Actor, pool: Pool, teams: Any = None, **fields: Any) -> Pool:
    """Change limits, labels, shares or teams; jobs that run already are not touched."""
    require(actor, "pools.manage_pool")
    pool = Pool.objects.select_for_update().get(pk=pool.pk)
    checked = _checked(fields)
    changes = {
        name: {"from": getattr(pool, name), "to": value}
        for name, value in checked.items()
        if getattr(pool, name) != value
    }
    for name, value in checked.items():
        setattr(pool, name, value)
    pool.save(update_fields=list(checked) or None)
    if teams is not None:
        changes["teams"] = {
            "from": sorted(team.slug for team in pool.teams.all()),
            "to": sorted(team.slug for team in teams),
        }
        pool.teams.set(teams)
    audit_record(actor=actor, action="pool.changed", obj=pool, changes=changes)
    _announce(pool)
    return pool


@transaction.atomic
def pool_delete(*, actor: Actor, pool: Pool, jobs: int) -> None:
    """Delete a pool that no job names. `jobs` is their number, counted by the caller."""
    require(actor, "pools.manage_pool")
    if pool.is_default:
        raise WrongState(_("The default pool stays: jobs that name no pool run there."))
    if jobs:
        raise WrongState(
            _("%(count)s jobs belong to this pool; their history would be lost.") % {"count": jobs},
            jobs=jobs,
        )
    audit_record(actor=actor, action="pool.deleted", obj=pool)
    pool.delete()


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    for name in LIMITS:
        if fields.get(name) is not None and not 0 <= fields[name] < 2**31:
            raise FieldError(name, _("Use a number of zero or more, or leave it empty."))
    if "selector" in fields:
        fields["selector"] = clean_labels(fields["selector"], "selector")
    shares = fields.get("shares")
    if shares is not None and not (
        isinstance(shares, dict)
        and all(isinstance(v, int | float) and 0 < v <= 1000 for v in shares.values())
    ):
        raise FieldError("shares", _("Give each team a weight above 0, at most 1000."))
    return fields


def _announce(pool: Pool) -> None:
    publish_on_commit("pool.changed", {"name": pool.name}, "all")
