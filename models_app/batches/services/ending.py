"""A batch ends: its answers become files, all of them or as many as there are."""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from django.db import transaction

from models_app.audit.services import audit_record
from models_app.batches.answers import merge
from models_app.batches.models import Batch
from models_app.core.actor import SYSTEM
from models_app.core.blobs import blob_put_file, tree_materialise
from models_app.core.clock import now
from models_app.core.errors import SlipwayError
from models_app.datasets.models import Dataset
from models_app.datasets.services import dataset_create, version_import_files
from models_app.finetuning.models import TuningFile
from models_app.jobs.checkpoints import checkpoint_adopt
from models_app.jobs.models import Checkpoint
from models_app.jobs.states import TERMINAL, JobState

logger = logging.getLogger(__name__)
#: Of the files with the answers.
PURPOSE = "batch_output"


@transaction.atomic
def batch_completed(*, batch_id: int, result: dict[str, Any]) -> Batch:
    """In the finishing transaction of its job: the files are stored, make them its own."""
    batch = Batch.objects.select_for_update(of=("self",)).select_related("team").get(pk=batch_id)
    _keep(batch, result)
    audit_record(actor=SYSTEM, action="batch.completed", obj=batch, changes=_counts(batch))
    if batch.answers_dataset and "rows_sha256" in result["output"]:
        _as_dataset(batch, result["output"])
    return batch


def batches_collect() -> int:
    """Files for the answers of batches that were stopped before their end; how many there were.

    On a node that sees the store: the newest checkpoint of the job holds them.
    """
    ended = sorted(TERMINAL - {JobState.SUCCEEDED})
    rows = Batch.objects.filter(collected_at=None, job__state__in=ended).order_by("id")
    return sum(_guarded(pk) for pk in rows.values_list("pk", flat=True)[:20])


def _guarded(pk: int) -> bool:
    """One batch whose files are out of reach must not keep the others from theirs."""
    try:
        return _collect(pk)
    except Exception:
        logger.exception("the answers of batch %s could not be kept", pk)
        return False


@transaction.atomic
def _collect(pk: int) -> bool:
    rows = Batch.objects.select_for_update(of=("self",), skip_locked=True)
    batch = rows.select_related("team", "job").filter(pk=pk, collected_at=None).first()
    if batch is None:
        return False
    _keep(batch, _partial(batch))
    audit_record(actor=SYSTEM, action="batch.collected", obj=batch, changes=_counts(batch))
    return True


def _partial(batch: Batch) -> dict[str, Any]:
    """What the newest checkpoint that can be had holds."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for row in Checkpoint.objects.filter(job=batch.job).order_by("-step", "-epoch"):
            try:
                if not row.manifest and checkpoint_adopt(row.pk):
                    row.refresh_from_db(fields=["manifest"])
                if row.manifest:
                    tree_materialise(row.manifest, folder / "parts")
                    break
            except (SlipwayError, OSError) as error:
                logger.warning("a checkpoint of batch %s cannot be read: %s", batch.pk, error)
        return stored(merge(sorted(folder.rglob("*.jsonl")), folder / "files"), folder / "files")


def stored(figures: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put the files that `merge` wrote into the store; the figures with their digests."""
    for name in ("output", "errors"):
        if figures[name]["lines"]:
            sha256, size = blob_put_file(folder / f"{name}.jsonl")
            figures[name] |= {"sha256": sha256, "size": size}
    rows = folder / "rows.jsonl"
    if rows.stat().st_size:
        sha256, size = blob_put_file(rows)
        figures["output"] |= {"rows_sha256": sha256, "rows_size": size}
    return figures


def _keep(batch: Batch, result: dict[str, Any]) -> None:
    batch.output_file = _file(batch, "output", result["output"])
    batch.error_file = _file(batch, "errors", result["errors"])
    batch.completed = result["output"]["lines"]
    batch.failed = result["errors"]["lines"]
    batch.prompt_tokens = result["prompt_tokens"]
    batch.completion_tokens = result["completion_tokens"]
    batch.collected_at = now()
    batch.save()


def _file(batch: Batch, name: str, facts: dict[str, Any]) -> TuningFile | None:
    if not facts["lines"]:
        return None
    return TuningFile.objects.create(
        team=batch.team, created_by_id=batch.created_by_id, name=f"{batch.key}_{name}.jsonl",
        purpose=PURPOSE, size=facts["size"], sha256=facts["sha256"],
    )  # fmt: skip


def _counts(batch: Batch) -> dict[str, Any]:
    return {"total": batch.total, "completed": batch.completed, "failed": batch.failed}


def _as_dataset(batch: Batch, facts: dict[str, Any]) -> None:
    """The answers as rows of a dataset; what stands against it is said in the audit log."""
    actor: Any = batch.created_by or SYSTEM
    try:
        with transaction.atomic():
            name = batch.answers_dataset
            found = Dataset.objects.filter(team=batch.team, name=name).first()
            dataset = found or dataset_create(actor=actor, team=batch.team, name=name)
            entry = {
                "name": f"{batch.key}.jsonl", "sha256": facts["rows_sha256"],
                "size": facts["rows_size"],
            }  # fmt: skip
            batch.answers_version = version_import_files(
                actor=actor, dataset=dataset, files=[entry]
            )
            batch.save(update_fields=["answers_version"])
    except SlipwayError as error:
        logger.warning("the answers of batch %s become no dataset: %s", batch.pk, error)
        changes = {"dataset": batch.answers_dataset, "error": json.dumps(str(error))[:300]}
        audit_record(actor=SYSTEM, action="batch.no_dataset", obj=batch, changes=changes)
