"""Models that programs log with their runs, and versions that are registered of their files."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.registry.experiments import LoggedRun
from models_app.registry.importing import PushSource
from models_app.registry.logged_models import logged_model_of, model_id, model_tree
from models_app.registry.models import Model, ModelVersion, TrainingRun
from models_app.registry.services.importing import version_import
from models_app.registry.services.pushes import adapter_base, missing_parts
from models_app.registry.services.registering import version_register

#: Models that one run may log: one for each checkpoint, say.
MOST_MODELS = 1000


@transaction.atomic
def logged_model_begin(
    *, actor: Actor, logged: LoggedRun, name: str, kind: str, tags: Mapping[str, str], at_ms: int
) -> dict[str, Any]:
    """A run gets a model, whose files come next; as it is kept, with its new id."""
    require(actor, "registry.log_run", logged)
    row = _locked(logged)
    if len(row.logged_models) >= MOST_MODELS:
        raise FieldError("name", _("A run may log %(most)s models.") % {"most": MOST_MODELS})
    made = {
        "id": model_id(row, len(row.logged_models)), "name": clean_title(name, "name"),
        "type": kind, "status": "LOGGED_MODEL_PENDING", "step": 0, "created_ms": at_ms,
        "tags": dict(tags),
    }  # fmt: skip
    row.logged_models = [*row.logged_models, made]
    row.save(update_fields=["logged_models"])
    changes = {"model": made["id"], "name": made["name"]}
    audit_record(actor=actor, action="run.model_logged", obj=_job(row), changes=changes)
    return made


@transaction.atomic
def logged_model_change(
    *, actor: Actor, logged: LoggedRun, text: str, tags: Mapping[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:  # fmt: skip
    """Change what is said of a logged model (`status`, `step`, tags); NotFound without one."""
    require(actor, "registry.log_run", logged)
    row = _locked(logged)
    changed = {**logged_model_of(row, text), **fields}
    changed["tags"] = {**changed["tags"], **(tags or {})}
    row.logged_models = [changed if m["id"] == text else m for m in row.logged_models]
    row.save(update_fields=["logged_models"])
    return changed


@transaction.atomic
def logged_model_register(
    *, actor: Actor, logged: LoggedRun, folder: str, model: Model, notes: str = ""
) -> ModelVersion:
    """The next version of a model, of the files that a run keeps below `folder`.

    It is looked at like every import, and ready when that is done. Raises FieldError naming what
    the files lack.
    """
    require(actor, "registry.add_version", model)
    run = TrainingRun.objects.select_related("job").get(pk=logged.pk)
    inside = f"{folder}/" if folder else ""
    rows = run.files.filter(path__startswith=inside)
    files = {
        row.path.removeprefix(inside): {"sha256": row.sha256, "size": row.size} for row in rows
    }
    tree = model_tree(files, "source")
    missing = missing_parts(tree)
    if missing:
        said = _("These files are no whole model: %(files)s are missing. Log the tokenizer, too.")
        raise FieldError("source", said % {"files": ", ".join(missing)})
    version = version_register(actor=actor, model=model, run=run, notes=notes)
    return version_import(
        actor=actor, model=model, source=PushSource(manifest=tree), version=version,
        base_version=adapter_base(actor, model, tree),
    )  # fmt: skip


def _locked(logged: LoggedRun) -> LoggedRun:
    return LoggedRun.objects.select_for_update(of=("self",)).get(pk=logged.pk)


def _job(logged: LoggedRun) -> Any:
    return logged.run.job
