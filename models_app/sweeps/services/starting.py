"""A sweep begins: everything about it is checked, then the driver starts its first trials."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.configs.models import ConfigRevision
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
from models_app.core.errors import Conflict, FieldError
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.datasets.models import DatasetVersion
from models_app.jobs.idempotency import KEY, key_clean
from models_app.jobs.resources import resources_parse
from models_app.jobs.services import check_priority
from models_app.pools.services.pools import pool_for
from models_app.registry.families import spec_kind
from models_app.registry.models import Model, ModelVersion
from models_app.sweeps.checking import MOST_PARALLEL, Halving, sweep_checked
from models_app.sweeps.models import Sweep
from models_app.sweeps.recording import announce
from models_app.sweeps.space import space_plain, space_read
from models_app.sweeps.states import Strategy
from models_app.sweeps.waking import wake_on_commit

LARGEST_SEED = 2**63 - 1


@transaction.atomic
def sweep_start(
    *,
    actor: Actor,
    team: Any,
    model: Model,
    dataset_version: DatasetVersion,
    spec: Mapping[str, Any],
    space: Mapping[str, Any],
    strategy: str = Strategy.RANDOM,
    metric: str = "",
    halving: Halving | None = None,
    max_trials: int = 20,
    parallel: int = 2,
    seed: int = 0,
    base_version: ModelVersion | None = None,
    config_revision: ConfigRevision | None = None,
    note: str = "",
    priority: int = 0,
    pool: str = "",
    resources: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Sweep:
    """Search for the settings of `model` in `space`; what is not in it stays as `spec` says.

    Its trials are trainings of `actor`, begun by the driver as far as `parallel` allows. Raises
    InvalidInput naming every field that cannot work, before anything is stored. The same
    `idempotency_key` in the same team returns the sweep that exists.
    """
    require(actor, "registry.add_version", team)
    if model.team_id != team.pk:
        raise FieldError("model", _("Choose a model of the same team."))
    if not 1 <= parallel <= MOST_PARALLEL:
        said = _("Use a number from 1 to %(most)s.") % {"most": MOST_PARALLEL}
        raise FieldError("parallel", said)
    if not 0 <= seed <= LARGEST_SEED:
        raise FieldError("seed", _("Use a number from 0 to 9223372036854775807."))
    key, asked = key_clean(idempotency_key), {
        "model": model.pk, "dataset_version": dataset_version.pk, "spec": dict(spec),
        "space": dict(space), "strategy": strategy, "metric": metric,
        "halving": asdict(halving) if halving else None, "max_trials": max_trials,
        "parallel": parallel, "seed": seed,
        "base_version": base_version.pk if base_version else None,
    }  # fmt: skip
    earlier = Sweep.objects.filter(team=team, request_key=key).first() if key else None
    if earlier is not None:
        return _same(earlier, asked)
    check_priority(actor, team, priority)
    pool_for(team=team, name=pool)
    resources_parse(dict(resources or {}))
    typed = space_read(space)
    checked = sweep_checked(
        actor=actor, model=model, data=dataset_version, base=spec, base_version=base_version,
        space=typed, strategy=strategy, metric=metric, halving=halving, max_trials=max_trials,
    )  # fmt: skip
    sweep = Sweep(
        team=team, created_by_id=actor.pk, model=model, dataset_version=dataset_version,
        base_version=base_version, config_revision=_of_kind(config_revision, model),
        base=checked.base.plain(), space=space_plain(typed), strategy=strategy,
        metric=checked.metric, max_trials=checked.max_trials, parallel=parallel, seed=seed,
        min_resource=checked.min_resource, reduction_factor=checked.reduction_factor,
        note=clean_title(note, "note") if note.strip() else "", priority=priority, pool=pool,
        resources=dict(resources or {}), request_key=key,
        request_digest=digest_json(asked) if key else "",
    )  # fmt: skip
    try:
        with transaction.atomic():
            sweep.save(force_insert=True)
    except IntegrityError:
        # Two requests with the same key at once: the other one won.
        return _same(Sweep.objects.get(team=team, request_key=key), asked)
    changes = {"model": model.name, "strategy": strategy, "space": sorted(typed)}
    audit_record(actor=actor, action="sweep.started", obj=sweep, changes=changes)
    announce(sweep)
    wake_on_commit(sweep.pk)
    return sweep


def _same(earlier: Sweep, asked: Mapping[str, Any]) -> Sweep:
    """The sweep that the key made before, if exactly this was asked then."""
    if earlier.request_digest != digest_json(asked):
        said = _("Sweep %(sweep)s came with this key and is another one. Use a new key.")
        raise Conflict(said % {"sweep": earlier.pk}, field=KEY, sweep=earlier.pk)
    return earlier


def _of_kind(revision: ConfigRevision | None, model: Model) -> ConfigRevision | None:
    """The revision, if it is of what the model is trained with."""
    same = revision is not None and revision.config.kind == spec_kind(model.family)
    return revision if same else None
