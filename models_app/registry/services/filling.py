"""Versions that wait for the files of a run elsewhere: taken by one import at a time, or given up.

The row keeps its number, run and notes. An import that fails leaves it waiting.
"""

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import advance, state_word
from models_app.jobs.models import Job
from models_app.jobs.states import TERMINAL
from models_app.registry.models import Draft, Model, ModelVersion
from models_app.registry.services.models import announce
from models_app.registry.states import ALLOWED, VersionState


def version_awaited(*, model: Model, version_id: int, field: str = "version") -> ModelVersion:
    """The version, locked, if it waits for files and nothing brings them yet.

    Raises FieldError for one of another model, WrongState for one that takes no files, Conflict
    naming the import that is on its way.
    """
    rows = ModelVersion.objects.select_related("model__team", "produced_by", "filled_by")
    version = rows.select_for_update(of=("self",)).filter(pk=version_id, model=model).first()
    if version is None:
        raise FieldError(field, _("Choose a version of the same model."))
    check_waiting(version)
    job = filling_job(version)
    if job is not None:
        said = _(
            "Job %(job)s brings the files of %(version)s already. Wait for it, or cancel it first."
        )
        words = {"job": job.pk, "version": version}
        raise Conflict(said % words, field=field, job=job.pk)
    return version


def check_waiting(version: ModelVersion) -> None:
    """WrongState, saying what is the case and what to do, for a version that takes no files."""
    if version.waits_for_files:
        return
    words = {"version": version, "state": state_word(version, version.state)}
    if version.state != VersionState.PENDING:
        said = _(
            "%(version)s does not wait for files: it is %(state)s. Name no version, and a new one"
            " is made."
        )
        raise WrongState(said % words, state=str(version.state))
    said = _("%(version)s gets its files from job %(job)s. Name no version, and a new one is made.")
    raise WrongState(said % {**words, "job": version.produced_by_id}, state=str(version.state))


def filling_job(version: ModelVersion) -> Job | None:
    """The import that brings the files of a waiting version now."""
    job = version.filled_by
    return job if job is not None and job.state not in TERMINAL else None


@transaction.atomic
def version_give_up(*, actor: Actor, version: ModelVersion, reason: str) -> ModelVersion:
    """A version whose files will never come fails, with the reason; its number stays taken.

    Raises WrongState for one that does not wait, Conflict while an import brings its files.
    """
    require(actor, "registry.add_version", version)
    reason = clean_title(reason, "reason")
    version = version_awaited(model=version.model, version_id=version.pk)
    advance(version, VersionState.FAILED, allowed=ALLOWED, error=reason)
    Draft.objects.filter(version=version).delete()
    changes = {"reason": reason}
    audit_record(actor=actor, action="model_version.given_up", obj=version, changes=changes)
    announce(version.model)
    return version
