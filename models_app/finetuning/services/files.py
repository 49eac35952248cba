"""Files that clients send: those for fine-tuning become a version of a dataset."""

import re
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.blobs import blob_open
from models_app.core.clock import now
from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.core.permission import require
from models_app.datasets.importing import check_file_name
from models_app.datasets.models import Dataset
from models_app.datasets.services import dataset_create, version_import_files
from models_app.finetuning.models import TuningFile
from models_app.finetuning.rows import rows_check

PURPOSE = "fine-tune"
BATCH = "batch"
#: Larger ones are looked at by their import only.
LOOKED_AT = 64 << 20
_ODD = re.compile(r"[^a-z0-9._-]+")


def file_add(*, actor: Actor, team: Any, entry: dict[str, Any], purpose: str) -> TuningFile:
    """Take an uploaded file (`{"name", "sha256", "size"}`, stored) and begin its import.

    Raises FieldError with the first lines that are no conversations. What is for a batch is
    looked at when the batch is made.
    """
    require(actor, "datasets.add_dataset", team)
    if purpose not in (PURPOSE, BATCH):
        raise FieldError("purpose", one_of([PURPOSE, BATCH]))
    name = check_file_name(entry["name"], "file")
    if not name.lower().endswith(".jsonl"):
        said = _("%(name)s is no .jsonl file; write one JSON object a line.") % {"name": name}
        raise FieldError("file", said, code="invalid_file_format")
    if purpose == PURPOSE and entry["size"] <= LOOKED_AT:
        with blob_open(entry["sha256"]) as lines:
            rows_check(lines)
    return _add(actor, team, {**entry, "name": name}, purpose)


@transaction.atomic
def _add(actor: Actor, team: Any, entry: dict[str, Any], purpose: str) -> TuningFile:
    version = None
    if purpose == PURPOSE:
        dataset = dataset_of(actor, team, entry["name"])
        version = version_import_files(actor=actor, dataset=dataset, files=[entry])
    row = TuningFile.objects.create(
        team=team, created_by_id=actor.pk, name=entry["name"], purpose=purpose,
        size=entry["size"], sha256=entry["sha256"], version=version,
    )  # fmt: skip
    changes = {"name": row.name, "dataset": str(version or "")}
    audit_record(actor=actor, action="tuning_file.added", obj=row, changes=changes)
    return row


def dataset_of(actor: Actor, team: Any, name: str) -> Dataset:
    """The dataset whose next version a file of this name becomes; made if it is missing."""
    stem = _ODD.sub("-", name.lower().removesuffix(".jsonl")).strip("._-")[:50].rstrip("._-")
    slug = f"finetune-{stem.replace('..', '.') or 'file'}"
    found = Dataset.objects.filter(team=team, name=slug).first()
    return found or dataset_create(actor=actor, team=team, name=slug)


@transaction.atomic
def file_delete(*, actor: Actor, file: TuningFile) -> None:
    """Nobody finds it any more; the dataset version that it became stays as it is."""
    require(actor, "datasets.change_dataset", file)
    file.deleted_at = now()
    file.save(update_fields=["deleted_at"])
    audit_record(actor=actor, action="tuning_file.deleted", obj=file, changes={"name": file.name})
