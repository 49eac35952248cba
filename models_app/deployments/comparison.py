"""What a revision changes against what serves now: settings, evidence, memory, the way back."""

from typing import Any

from django.utils.translation import gettext as _

from models_app.approvals.subject import Change, Description, Evidence, Link
from models_app.configs.specs import ServingSpec
from models_app.configs.specs.base import value_words
from models_app.deployments.adapters import adapters_of
from models_app.deployments.digest import differs_in_adapters, differs_in_replicas
from models_app.deployments.footprint import replica_bytes
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.wanted import wanted_replicas
from models_app.registry.models import Evaluation, ModelVersion

MIB = 1 << 20


def revision_changes(old: Revision | None, new: Revision) -> list[Change]:
    """Version and settings, old beside new: what differs, or all of it for a first revision."""
    before = old.spec_in_effect if old else {}
    after = new.spec_in_effect
    rows = [
        Change(
            name=_("Model version"),
            old=str(old.model_version) if old else "–",
            new=str(new.model_version),
            effect=_version_effect(old, new),
        )
    ]
    if new.overlay_revision_id or new.config_revision.config.name != new.deployment.name:
        was = old.settings_from if old else "–"
        rows.append(Change(name=_("Configuration"), old=was, new=new.settings_from))
    for name, field in ServingSpec.model_fields.items():
        rows.append(
            Change(
                name=_(str(field.title or name)),
                old=value_words(ServingSpec, name, before.get(name)),
                new=value_words(ServingSpec, name, after.get(name)),
                effect=_replica_effect(old, new) if name == "replicas" else "",
            )
        )
    rows.append(_adapters_change(old, new))
    return [row for row in rows if row.changed]


def _adapters_change(old: Revision | None, new: Revision) -> Change:
    in_place = old is not None and differs_in_adapters(old, new)
    return Change(
        name=_("Adapters"),
        old=_adapters_named(old) if old else "–",
        new=_adapters_named(new),
        effect=_("replicas that run load and unload them; none is replaced") if in_place else "",
    )


def _adapters_named(revision: Revision) -> str:
    found = adapters_of(revision)
    return ", ".join(f"{name}: {version}" for name, version in found.items()) or "–"


def _version_effect(old: Revision | None, new: Revision) -> str:
    if old is None:
        return _("the first version of this deployment")
    same = old.model_version.model_id == new.model_version.model_id
    return _("answers come from other weights") if same else _("another model altogether")


def _replica_effect(old: Revision | None, new: Revision) -> str:
    more = new.replicas - (old.replicas if old else 0)
    amount = abs(more) * replica_bytes(new.model_version, new.spec_in_effect) // MIB
    if more > 0:
        return _("about %(mib)s MiB more memory") % {"mib": amount}
    return _("about %(mib)s MiB less memory") % {"mib": amount}


def revision_evidence(old: Revision | None, new: Revision) -> list[Evidence]:
    """Figures of both versions on the same data; blank where only one side was measured."""
    rows = [_metric(old, new, "validation_loss", _("Validation loss of the training"))]
    theirs = _newest(new.model_version)
    ours = _newest(old.model_version) if old else {}
    names = {"perplexity": _("Perplexity"), "bits_per_byte": _("Bits per byte")}
    for key, evaluation in theirs.items():
        where = f"{evaluation.dataset_version} · {evaluation.split}"
        for metric, label in names.items():
            other = ours.get(key)
            rows.append(
                Evidence(
                    name=f"{label}, {where}",
                    old=_figure(other.metrics if other else {}, metric),
                    new=_figure(evaluation.metrics, metric),
                )
            )
    return [row for row in rows if row.new is not None]


def _newest(version: ModelVersion) -> dict[tuple[int, str], Evaluation]:
    rows = version.evaluations.select_related("dataset_version").order_by("id")
    return {(row.dataset_version_id, row.split): row for row in rows}


def _metric(old: Revision | None, new: Revision, name: str, label: str) -> Evidence:
    return Evidence(
        name=label,
        old=_figure(old.model_version.metrics, name) if old else None,
        new=_figure(new.model_version.metrics, name),
    )


def _figure(metrics: dict[str, Any] | None, name: str) -> float | None:
    value = (metrics or {}).get(name)
    return float(value) if isinstance(value, int | float) else None


def way_back(deployment: Deployment) -> str:
    """One sentence that says how to undo a roll-out."""
    active = deployment.active_revision
    if active is None:
        return _("Nothing serves yet: stopping the deployment undoes it.")
    seconds = active.spec_in_effect.get("keep_warm_s", 0)
    if not seconds:
        return _("r%(n)s is stopped at once; a roll-back loads it again first.") % {
            "n": active.number
        }
    return _(
        "r%(n)s stays loaded for %(s)s s; a roll-back within that time takes effect at once,"
        " later it loads r%(n)s first."
    ) % {"n": active.number, "s": seconds}


def _way_back(deployment: Deployment, active: Revision | None, revision: Revision) -> str:
    if active is not None and differs_in_adapters(active, revision):
        said = _("A roll-back to r%(n)s unloads and loads adapters again; no replica is replaced.")
        return said % {"n": active.number}
    return way_back(deployment)


def on_approve(revision: Revision, active: Revision | None = None) -> str:
    """What an approval sets off, by the strategy of the revision and what serves now."""
    if active is not None and differs_in_adapters(active, revision):
        return _("The replicas that serve load and unload adapters at once; none is replaced.")
    if active is not None and differs_in_replicas(active, revision):
        return _("The new number of replicas starts at once; requests move when all are ready.")
    texts = {
        "rolling": _("The roll-out starts at once; replicas are replaced one after another."),
        "all_at_once": _("The old replicas are stopped at once, then the new ones start."),
        "canary": _("The roll-out starts at once, with a share of the requests first."),
        "linear": _("The roll-out starts at once, with a share of the requests that grows."),
        "shadow": _("The roll-out starts at once, with copies of requests first."),
    }
    otherwise = _("The roll-out starts at once; traffic moves when all its replicas are ready.")
    return texts.get(revision.serving.strategy, otherwise)


def describe_revision(revision: Revision) -> Description:
    """For the page of an approval."""
    deployment = revision.deployment
    active = deployment.active_revision
    if active is not None and active.pk == revision.pk:
        active = None
    team, name = deployment.team.slug, deployment.name
    version = revision.model_version
    return Description(
        links=(
            Link(label=f"{team}/{name}", url_name="deployment_detail", args=(team, name)),
            Link(
                label=f"r{revision.number}",
                url_name="revision_detail",
                args=(team, name, revision.number),
            ),
            Link(
                label=str(version),
                url_name="model_version",
                args=(team, version.model.name, version.number),
            ),
        ),
        old_label=f"r{active.number}" if active else _("now"),
        new_label=f"r{revision.number}",
        changes=revision_changes(active, revision),
        evidence=revision_evidence(active, revision),
        way_back=_way_back(deployment, active, revision),
        on_approve=on_approve(revision, active),
        on_reject=_("Nothing changes: what serves now goes on serving."),
    )


def rollback_plan(revision: Revision, *, needs_approval: bool, ready: int, proved: bool) -> str:
    """What a roll-back to this revision would do now, in one sentence or two.

    `ready` replicas of it would answer now; `proved`: it has golden answers.
    """
    if needs_approval:
        return _("Its approval does not stand any more, so a new one is asked for first.")
    active = revision.deployment.active_revision
    if active is not None and differs_in_adapters(active, revision):
        text = _("The replicas that serve load its adapters; none is replaced.")
    elif ready >= wanted_replicas(revision.deployment, revision):
        text = _("Its replicas are still loaded: all requests go to it at once.")
    else:
        text = _("Its replicas are started first; requests move over when they are ready.")
    if proved:
        text += " " + _("Before that its stored answers are asked again and have to be the same.")
    return text
