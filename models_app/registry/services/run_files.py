"""Files that programs leave with their runs."""

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import FieldError, WrongState
from models_app.core.names import check_length
from models_app.core.permission import require
from models_app.core.trees import MOST_FILES, clean_path
from models_app.jobs.elsewhere import is_elsewhere
from models_app.registry.models import RunFile, TrainingRun

LONGEST_PATH = 500


def run_file_path(*, actor: Actor, run: TrainingRun, path: str) -> str:
    """The path under which a run would keep a file. To be asked before its bytes are taken.

    Raises FieldError for a path that cannot be kept; PermissionDenied, WrongState.
    """
    require(actor, "registry.log_run", run)
    if not is_elsewhere(run.job):
        raise WrongState(_("Only runs that were begun from elsewhere are reported from there."))
    path = clean_path(path)
    check_length(path, "path", LONGEST_PATH)
    folders = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
    taken = run.files.filter(Q(path__in=folders) | Q(path__startswith=f"{path}/")).first()
    if taken is not None:
        said = _("%(path)s cannot be beside %(other)s: one would be file and folder at once.")
        raise FieldError("path", said % {"path": path, "other": taken.path})
    return path


@transaction.atomic
def run_file_keep(*, actor: Actor, run: TrainingRun, path: str, sha256: str, size: int) -> RunFile:
    """A file that lies in the store already belongs to the run, in place of the one before it."""
    # The lock puts writers of one run into a line, so that the limit holds.
    TrainingRun.objects.select_for_update(no_key=True).values("pk").get(pk=run.pk)
    path = run_file_path(actor=actor, run=run, path=path)
    known = run.files.filter(path=path).first()
    if known is not None and known.sha256 == sha256:
        return known
    if known is None and run.files.count() >= MOST_FILES:
        raise FieldError("path", _("A run may have at most %(most)s files.") % {"most": MOST_FILES})
    row, _is_new = RunFile.objects.update_or_create(
        run=run, path=path,
        defaults={"sha256": sha256, "size": size, "stored_by_id": actor.pk, "stored_at": now()},
    )  # fmt: skip
    changes = {"path": path, "file": sha256[:12], "size": size}
    audit_record(actor=actor, action="run.file_kept", obj=run.job, changes=changes)
    return row
