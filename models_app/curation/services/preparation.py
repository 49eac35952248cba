"""A preparation: configuration revision, pending version and job, made together or not at all."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.configs.services import config_revise
from models_app.configs.specs import DataSpec
from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.core.permission import can_see, require
from models_app.core.states import state_word
from models_app.core.validation import parse
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.states import Shape, VersionState
from models_app.events.publish import publish_on_commit
from models_app.jobs.idempotency import job_with_key
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState as ModelState

#: Documents that a preview takes through the steps.
PREVIEWED = 200


@transaction.atomic
def dataset_prepare(
    *,
    actor: Actor,
    parent: DatasetVersion,
    spec: DataSpec | Mapping[str, Any],
    dataset: Dataset | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
    prefix: str = "config",
) -> DatasetVersion:
    """Make a new version of `dataset` (the parent's own by default) out of `parent`.

    A parent that the data policy blocks is taken all the same: to prepare it is the remedy. Raises
    InvalidInput naming every field that cannot work, before anything is stored. The same
    `idempotency_key` in the same team returns the version that exists.
    """
    home = dataset or parent.dataset
    require(actor, "datasets.change_dataset", parent)
    require(actor, "datasets.change_dataset", home)
    earlier = job_with_key(team=home.team_id, key=idempotency_key, kind="dataset_prepare")
    if earlier is not None:
        return DatasetVersion.objects.select_related("dataset__team").get(produced_by=earlier)
    checked = _checked(actor, parent, spec, prefix)
    if home.team_id != parent.team_id:
        raise FieldError("dataset", _("Choose a dataset of the same team."))
    revision = config_revise(
        actor=actor, team=home.team, kind="data", name=home.name, spec=checked, reason=reason
    )
    # The lock puts writers of one dataset into a line, so that numbers have no gap.
    Dataset.objects.select_for_update().get(pk=home.pk)
    version = DatasetVersion.objects.create(
        dataset=home,
        number=(home.versions.aggregate(top=Max("number"))["top"] or 0) + 1,
        source={"kind": "prepare", "files": [], "parent_digest": parent.digest},
        seed=checked.seed,
        validation_fraction=checked.validation_fraction,
        parent=parent,
        config_revision=revision,
    )
    version.produced_by = job_submit(
        actor=actor,
        team=home.team,
        kind="dataset_prepare",
        params={
            "dataset_version": version.pk,
            "parent": parent.pk,
            "config_revision": revision.pk,
        },
        title=f"Prepare {home.name} v{version.number}",
        idempotency_key=idempotency_key,
    )
    version.save(update_fields=["produced_by"])
    changes = {
        "number": version.number, "source": "prepare", "parent": parent.pk,
        "config": revision.digest, "job": version.produced_by_id,
    }  # fmt: skip
    audit_record(actor=actor, action="dataset_version.created", obj=version, changes=changes)
    publish_on_commit(
        "dataset.changed", {"id": home.pk}, f"dataset.{home.pk}", f"team.{home.team_id}"
    )
    return version


@transaction.atomic
def preparation_preview(
    *, actor: Actor, parent: DatasetVersion, spec: DataSpec | Mapping[str, Any]
) -> Job:
    """Take the first documents through the steps; nothing is kept but the job's result."""
    require(actor, "datasets.change_dataset", parent)
    checked = _checked(actor, parent, spec, "config")
    return job_submit(
        actor=actor,
        team=parent.dataset.team,
        kind="dataset_preview",
        params={"parent": parent.pk, "documents": PREVIEWED, "config": checked.plain()},
        title=f"Preview a preparation of {parent}",
    )


def preparation_tokenizer(spec: DataSpec) -> ModelVersion | None:
    """The model version whose tokenizer is taken."""
    if spec.tokenizer_version is None:
        return None
    return ModelVersion.objects.select_related("model").get(pk=spec.tokenizer_version)


def _checked(
    actor: Actor, parent: DatasetVersion, spec: DataSpec | Mapping[str, Any], prefix: str
) -> DataSpec:
    if parent.state != VersionState.READY:
        said = _("%(version)s is not ready: %(state)s.")
        words = {"version": parent, "state": state_word(parent, parent.state)}
        raise FieldError("parent", said % words)
    if parent.shape != Shape.DOCUMENTS:
        said = _("%(version)s holds questions, which are not prepared. Choose documents.")
        raise FieldError("parent", said % {"version": parent})
    if not isinstance(spec, DataSpec):
        spec = parse(DataSpec, dict(spec), prefix=prefix)
    if spec.tokenizer_version is not None:
        model = ModelVersion.objects.filter(pk=spec.tokenizer_version).first()
        good = model is not None and can_see(actor, model) and model.team_id == parent.team_id
        if not good or model is None or model.state != ModelState.READY:
            said = _("Choose a model version of the same team that is ready.")
            raise FieldError(f"{prefix}.tokenizer_version", said)
    return spec
