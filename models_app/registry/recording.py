"""Keeps how a version was made as files in the store, before the version becomes visible."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models_app.core.blobs import BlobWriter, Manifest, tree_put
from models_app.core.digests import canonical_json
from models_app.jobs.logs import log_blocks
from models_app.jobs.models import Job, MetricPoint
from models_app.registry.experiments import SidePoint

#: Names of the files of a record.
ENVIRONMENT, CODE, LOG, METRICS = "environment.json", "code.tar", "log.txt", "metrics.jsonl"
#: What a run elsewhere has logged, in place of what a worker records.
RUN = "run.json"
#: Figures that tell how fast it went; all others are the same whenever the training is.
TIMES = ("tokens_per_second", "memory_bytes")


def record_files(*, job: Job, folder: Path) -> Manifest:
    """What the child wrote in `folder` (environment and code), and the job's log and metrics."""
    return {
        **tree_put(folder),
        LOG: keep(log_bytes(job)),
        METRICS: keep(metric_lines(job)),
    }


def log_bytes(job: Job) -> Iterable[bytes]:
    """The log as it is downloaded."""
    return (block.encode("utf-8", "replace") for block in log_blocks(job=job))


def metric_lines(job: Job) -> Iterable[bytes]:
    """Every finite point as a line of JSON, in the order of name, step and time."""
    columns = ("name", "step", "at", "value")
    shown = MetricPoint.objects.filter(job=job).values_list(*columns)
    beside = SidePoint.objects.filter(run=job.pk, is_finite=True).values_list(*columns)
    for name, step, _at, value in shown.union(beside, all=True).order_by(*columns).iterator():
        yield (canonical_json({"name": name, "step": step, "value": value}) + "\n").encode()


def keep(parts: Iterable[bytes]) -> dict[str, Any]:
    """Store these bytes; the entry of a manifest."""
    writer = BlobWriter()
    try:
        for part in parts:
            writer.write(part)
        sha256, size = writer.publish()
    finally:
        writer.discard()
    return {"sha256": sha256, "size": size}
