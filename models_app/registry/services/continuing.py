"""A training that goes on from a checkpoint of another run, exactly where that one stood.

On the processor, with the same number of threads, it ends bit for bit with the weights of the run
that was never interrupted. So nothing may change that the state depends on. More steps than before
are allowed: the learning rate follows the schedule of the first run to its end and then stays at
its lowest, so the steps that both runs share are the same.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.configs.diff import Change, diff
from models_app.configs.services import revision_spec
from models_app.configs.specs import TrainingSpec
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, InvalidInput, WrongState
from models_app.core.permission import require
from models_app.core.validation import parse
from models_app.jobs.models import Checkpoint
from models_app.jobs.pinning import checkpoint_stored
from models_app.registry.families import is_markov
from models_app.registry.models import ModelVersion
from models_app.registry.services.training import training_start

#: What decides when a run looks, tells, saves and gives up, and how long it goes on; not what it
#: computes.
FREE = (
    "steps", "evaluate_every", "evaluation_batches", "checkpoint_every", "keep_checkpoints",
    "log_every", "patience", "min_improvement", "publish", "on_divergence", "spike_factor",
    "divergence_budget", "activation_checkpointing", "checkpoint_in_background",
)  # fmt: skip


@transaction.atomic
def training_continue(
    *,
    actor: Actor,
    checkpoint: Checkpoint,
    changes: Mapping[str, Any] | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
) -> ModelVersion:
    """A new version of the same model, trained from the state in `checkpoint`.

    Raises InvalidInput with a line for every setting whose change the state does not allow, and
    WrongState when the checkpoint is not of a training or its files are gone.
    """
    require(actor, "registry.add_version", checkpoint.job)
    version = checkpoint_version(checkpoint)
    spec = _spec(version, checkpoint, changes or {})
    assert version.dataset_version is not None
    job = checkpoint.job
    new = training_start(
        actor=actor,
        team=version.model.team,
        model=version.model,
        dataset_version=version.dataset_version,
        spec=spec,
        base_version=version.base_version,
        reason=reason or f"From step {checkpoint.step} of job {job.pk}",
        pool=job.pool.name,
        resources={"node_selector": job.node_selector},
        idempotency_key=idempotency_key,
        rerun_of=job,
        continued_from=_begun(checkpoint),
    )
    audit_record(
        actor=actor,
        action="model_version.training_continued",
        obj=new,
        changes={"job": job.pk, "step": checkpoint.step, "digest": checkpoint.digest},
    )
    return new


def checkpoint_version(checkpoint: Checkpoint) -> ModelVersion:
    """The version whose training wrote the checkpoint; WrongState if there is none."""
    rows = ModelVersion.objects.select_related(
        "model__team", "dataset_version__dataset__team", "config_revision__config", "base_version"
    )
    version = rows.filter(produced_by=checkpoint.job_id).first()
    if version is None or version.config_revision is None or version.dataset_version is None:
        raise WrongState(_("Only the training of a version can be continued from a checkpoint."))
    if is_markov(version.model.family):
        said = _("A training of this family cannot begin with a checkpoint of another run.")
        raise WrongState(said)
    return version


def _spec(
    version: ModelVersion, checkpoint: Checkpoint, changes: Mapping[str, Any]
) -> TrainingSpec:
    assert version.config_revision is not None
    old = revision_spec(version.config_revision).plain()
    refused = {
        change.path: _refusal(change)
        for change in diff(old, {**old, **changes})
        if change.path.split(".")[0] not in FREE
    }
    if refused:
        raise InvalidInput({f"changes.{path}": text for path, text in refused.items()})
    new = {**old, **changes}
    if new["steps"] != old["steps"] and old["schedule_steps"] is None:
        new["schedule_steps"] = old["steps"]
    spec = parse(TrainingSpec, new, prefix="changes")
    if spec.steps <= checkpoint.step:
        said = _("The checkpoint is at step %(step)s already; ask for more steps than that.")
        raise FieldError("changes.steps", said % {"step": f"{checkpoint.step:,}"})
    return spec


def _refusal(change: Change) -> str:
    if change.kind == "added":
        return _("There is no such setting.")
    said = _(
        "The state of the checkpoint depends on it: it was %(old)s and cannot become %(new)s. To "
        "change it, train a version further."
    )
    return said % {"old": change.old, "new": change.new}


def _begun(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the record keeps of it: its files stay as long as the version that began with them."""
    return {
        "checkpoint": checkpoint.pk,
        "job": checkpoint.job_id,
        "step": checkpoint.step,
        "epoch": checkpoint.epoch,
        "name": checkpoint.name,
        "digest": checkpoint.digest,
        "manifest": checkpoint_stored(checkpoint),
    }
