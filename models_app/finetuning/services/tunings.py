"""Fine-tunings: asked for, begun as soon as their data is ready, paused, resumed, cancelled."""

import secrets
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import FieldError, WrongState
from models_app.core.names import clean_slug
from models_app.core.permission import require
from models_app.core.states import advance, state_word
from models_app.datasets.importing import ImportOptions
from models_app.datasets.models import DatasetVersion
from models_app.datasets.services import version_import_files
from models_app.finetuning.models import Tuning, TuningFile
from models_app.finetuning.services.files import dataset_of
from models_app.finetuning.services.progress import tuning_advance
from models_app.finetuning.settings import BOUNDS, Hyperparameters
from models_app.finetuning.states import ALLOWED, TuningState
from models_app.jobs.control import job_pause, job_resume
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel
from models_app.registry.further import further_check
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState

MOST_METADATA = 16


@transaction.atomic
def tuning_start(
    *,
    actor: Actor,
    base: ModelVersion,
    training_file: TuningFile,
    validation_file: TuningFile | None = None,
    hyperparameters: Hyperparameters | None = None,
    suffix: str = "",
    seed: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Tuning:
    """Ask for a fine-tuning; it trains at once if its data is ready, else when it is.

    The result becomes the next version of the model `<base>-<suffix>`. Raises FieldError.
    """
    team = base.model.team
    require(actor, "registry.add_version", base)
    require(actor, "registry.add_model", team)
    _check_base(base)
    for field, file in (("training_file", training_file), ("validation_file", validation_file)):
        if file is not None and file.team_id != team.pk:
            raise FieldError(field, _("Choose a file of the model's team."))
        if file is not None and file.version is None:
            raise FieldError(field, _("Choose a file that was sent for fine-tuning."))
    asked = (hyperparameters or Hyperparameters()).model_dump()
    _check_bounds(asked)
    tuning = Tuning.objects.create(
        team=team,
        created_by_id=actor.pk,
        base_version=base,
        training_file=training_file,
        validation_file=validation_file,
        dataset_version=_data(actor, training_file, validation_file),
        model_name=_name(base, suffix),
        suffix=suffix,
        seed=secrets.randbelow(1 << 31) if seed is None else seed,
        asked=asked,
        metadata=_metadata(metadata or {}),
    )
    changes = {"base": str(base), "file": training_file.key, "asked": asked}
    audit_record(actor=actor, action="tuning.created", obj=tuning, changes=changes)
    tuning_advance(tuning)
    return tuning


@transaction.atomic
def tuning_cancel(*, actor: Actor, tuning: Tuning) -> Tuning:
    """End it, whether it has begun or not. Raises WrongState if it is over."""
    require(actor, "jobs.cancel_job", tuning)
    tuning = _locked(tuning)
    if tuning.state == TuningState.VALIDATING:
        advance(tuning, TuningState.CANCELED, allowed=ALLOWED, ended_at=now())
    else:
        job_cancel(actor=actor, job=_job(tuning))
    audit_record(actor=actor, action="tuning.canceled", obj=tuning)
    return _again(tuning)


def tuning_pause(*, actor: Actor, tuning: Tuning) -> Tuning:
    """Save a checkpoint and wait. Raises WrongState if it has not begun or is over."""
    job_pause(actor=actor, job=_job(tuning))
    return _again(tuning)


def tuning_resume(*, actor: Actor, tuning: Tuning) -> Tuning:
    """Go on where it was paused. Raises WrongState if it was not."""
    job_resume(actor=actor, job=_job(tuning))
    return _again(tuning)


def _check_base(base: ModelVersion) -> None:
    if base.state != VersionState.READY:
        words = {"version": base, "state": state_word(base, base.state)}
        raise FieldError("model", _("%(version)s is not ready: %(state)s.") % words)
    further_check(base, "model")


def _check_bounds(asked: Mapping[str, Any]) -> None:
    for name, (least, most) in BOUNDS.items():
        value = asked[name]
        if value != "auto" and not least <= value <= most:
            said = _("Use auto or a number from %(least)s to %(most)s.")
            words = {"least": f"{least:g}", "most": f"{most:g}"}
            raise FieldError(f"hyperparameters.{name}", said % words)


def _data(actor: Actor, training: TuningFile, validation: TuningFile | None) -> DatasetVersion:
    """What is trained on. With a file to validate on, both become a version of their own."""
    if validation is None:
        assert training.version is not None  # checked before
        return training.version
    files = [
        {"name": f"{part}.jsonl", "sha256": file.sha256, "size": file.size}
        for part, file in (("train", training), ("validation", validation))
    ]
    dataset = dataset_of(actor, training.team, training.name)
    options = ImportOptions(split="named")
    return version_import_files(actor=actor, dataset=dataset, files=files, options=options)


def _name(base: ModelVersion, suffix: str) -> str:
    name = f"{base.model.name}-{suffix or 'ft'}"
    try:
        return clean_slug(name)
    except FieldError as error:
        said = _("It becomes part of the model's name %(name)r. %(rule)s")
        words = {"name": name, "rule": error.errors["name"][0]}
        raise FieldError("suffix", said % words) from None


def _metadata(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MOST_METADATA:
        raise FieldError("metadata", _("At most %(n)s pairs.") % {"n": MOST_METADATA})
    for key, value in given.items():
        if len(key) > 64 or len(value) > 512:
            said = _("Keys may have 64 characters, values 512.")
            raise FieldError("metadata", said)
    return dict(given)


def _job(tuning: Tuning) -> Job:
    version = tuning.model_version
    if version is None or version.produced_by is None:
        said = _("%(tuning)s has no training yet: %(state)s.")
        words = {"tuning": tuning.key, "state": state_word(tuning, tuning.state)}
        raise WrongState(said % words)
    return version.produced_by


def _locked(tuning: Tuning) -> Tuning:
    rows = Tuning.objects.select_for_update(of=("self",))
    return rows.select_related("model_version__produced_by", "team").get(pk=tuning.pk)


def _again(tuning: Tuning) -> Tuning:
    return Tuning.objects.select_related(
        "team", "base_version__model__team", "training_file", "validation_file",
        "model_version__model__team", "model_version__produced_by",
    ).get(pk=tuning.pk)  # fmt: skip
