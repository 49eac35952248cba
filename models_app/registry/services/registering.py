"""Versions of runs that work elsewhere: registered at once, pending until their files are there."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
from models_app.core.errors import Conflict, FieldError
from models_app.core.names import clean_text
from models_app.core.permission import require
from models_app.core.states import state_word
from models_app.jobs.elsewhere import is_elsewhere
from models_app.jobs.idempotency import KEY, key_clean
from models_app.jobs.states import TERMINAL, JobState
from models_app.registry.models import Model, ModelVersion, TrainingRun
from models_app.registry.services.models import announce


@transaction.atomic
def version_register(
    *,
    actor: Actor,
    model: Model,
    run: TrainingRun,
    notes: str = "",
    idempotency_key: str | None = None,
) -> ModelVersion:
    """The next version of a model, made by a run elsewhere of the same team; it has no files yet.

    It becomes ready when files were imported or pushed for it, and fails with its run. The same
    `idempotency_key` for the same model returns the version that exists, and is a Conflict where
    something else was asked with it.
    """
    require(actor, "registry.add_version", model)
    if run.team_id != model.team_id or not is_elsewhere(run.job):
        said = _("Choose a run of the same team that works elsewhere.")
        raise FieldError("run", said)
    notes = clean_text(notes, "notes")
    key, asked = key_clean(idempotency_key), {"run": run.pk, "notes": notes}
    # The lock puts writers of one model into a line, so that numbers have no gap.
    Model.objects.select_for_update(no_key=True).values("pk").get(pk=model.pk)
    earlier = model.versions.filter(request_key=key).first() if key else None
    if earlier is not None:
        return _same(earlier, asked)
    if run.job.state in TERMINAL and run.job.state != JobState.SUCCEEDED:
        said = _("The run is %(state)s, so nothing comes of it. Choose one that runs or succeeded.")
        raise FieldError("run", said % {"state": state_word(run.job, run.job.state)})
    version = ModelVersion.objects.create(
        model=model,
        number=(model.versions.aggregate(top=Max("number"))["top"] or 0) + 1,
        produced_by=run.job,
        dataset_version_id=run.dataset_version_id,
        notes=notes,
        request_key=key,
        request_digest=digest_json(asked) if key else "",
    )
    changes = {"number": version.number, "job": run.pk}
    audit_record(actor=actor, action="model_version.registered", obj=version, changes=changes)
    announce(model)
    return version


def _same(earlier: ModelVersion, asked: Mapping[str, Any]) -> ModelVersion:
    """The version that the key made before, if exactly this was asked then."""
    if earlier.request_digest != digest_json(asked):
        said = _(
            "This key has made %(version)s with other values. Use a new key for a new version."
        )
        raise Conflict(said % {"version": earlier}, field=KEY, version=earlier.number)
    return earlier
