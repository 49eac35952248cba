"""Versions of runs that work elsewhere: registered at once, pending until their files are there."""

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.core.names import clean_text
from models_app.core.permission import require
from models_app.jobs.elsewhere import is_elsewhere
from models_app.registry.models import Model, ModelVersion, TrainingRun
from models_app.registry.services.models import announce


@transaction.atomic
def version_register(
    *, actor: Actor, model: Model, run: TrainingRun, notes: str = ""
) -> ModelVersion:
    """The next version of a model, made by a run elsewhere of the same team; it has no files yet.

    It becomes ready when files were imported and scanned for it, and fails with its run.
    """
    require(actor, "registry.add_version", model)
    if run.team_id != model.team_id or not is_elsewhere(run.job):
        said = _("Choose a run of the same team that works elsewhere.")
        raise FieldError("run", said)
    notes = clean_text(notes, "notes")
    # The lock puts writers of one model into a line, so that numbers have no gap.
    Model.objects.select_for_update(no_key=True).values("pk").get(pk=model.pk)
    version = ModelVersion.objects.create(
        model=model,
        number=(model.versions.aggregate(top=Max("number"))["top"] or 0) + 1,
        produced_by=run.job,
        dataset_version_id=run.dataset_version_id,
        notes=notes,
    )
    changes = {"number": version.number, "job": run.pk}
    audit_record(actor=actor, action="model_version.registered", obj=version, changes=changes)
    announce(model)
    return version
