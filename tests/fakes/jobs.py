"""Runs one job in this process, through the same services a worker uses; no child, no lease."""

import time
from pathlib import Path
from typing import Any

from models_app.core.clock import stamp
from models_app.jobs.attempts import attempt_environment, checkpoint_record, job_fail, job_finish
from models_app.jobs.checkpoints import checkpoint_folder
from models_app.jobs.claims import job_claim
from models_app.jobs.inputs import job_load
from models_app.jobs.kind import JobFailed, kind_of
from models_app.jobs.logs import log_append
from models_app.jobs.metrics import metrics_append
from models_app.jobs.models import Job
from models_app.jobs.samples import samples_append
from models_app.jobs.states import TERMINAL
from tests.factories.jobs import placed
from tests.waiting import WAIT_S


class RecordingContext:
    """A JobContext that keeps what it is told."""

    meeting = None

    def __init__(self, folder: Path, epoch: int = 1, checkpoints: Path | None = None) -> None:
        self.epoch = epoch
        self.work_dir, self.checkpoint_dir = folder / "work", checkpoints or folder / "checkpoints"
        self.output_dir = folder / f"output-{epoch}"
        for path in (self.work_dir, self.checkpoint_dir, self.output_dir):
            path.mkdir(parents=True, exist_ok=True)
        self.lines: list[str] = []
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.stages: list[str] = []
        self.checkpoints: list[dict[str, Any]] = []
        self.samples: list[dict[str, Any]] = []
        self.environment_data: dict[str, Any] = {}
        self.stop_after: int | None = None

    def log(self, text: str, level: str = "info") -> None:
        self.lines.append(text)

    def metric(self, step: int, values: dict[str, float]) -> None:
        self.metrics.append((step, values))

    def progress(self, *, step=None, total=None, stage=None, percent=None, eta_s=None) -> None:
        self.stages.append(stage)

    def checkpoint(self, **values: Any) -> None:
        self.checkpoints.append(values)

    def sample(self, **values: Any) -> None:
        self.samples.append(values)

    def ready(self, data: dict[str, Any]) -> None:
        raise AssertionError("not a long-lived job")

    def environment(self, data: dict[str, Any]) -> None:
        self.environment_data = data

    def should_hurry(self) -> bool:
        return False

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.metrics) >= self.stop_after


def _ended_elsewhere(job: Job) -> Job:
    """A real worker of the same test was faster: its end will do as well."""
    deadline = time.monotonic() + WAIT_S
    while job.state not in TERMINAL:
        assert time.monotonic() < deadline, f"job {job.pk} is {job.state}"
        time.sleep(0.05)
        job.refresh_from_db()
    return job


def run_job(job: Job, folder: Path, *, keep: bool = False) -> Job:
    """Claim the job and run it to its end; failures end it as a worker would.

    `keep`: its checkpoints lie where those of a real worker do, and are known to the database.
    """
    held = job_claim(worker="test", node="test", job_id=placed(job, "test").pk)
    if held is None:
        return _ended_elsewhere(job)
    kind, params = kind_of(held)
    kept = checkpoint_folder(job.pk) if keep else None
    ctx = RecordingContext(folder / str(job.pk), held.epoch, kept)
    try:
        place = folder / str(job.pk) / "inputs"
        inputs = job_load(kind=kind, params=params, job=held, folder=place)
        result = kind.run(params, inputs, ctx)
        _ship(held, ctx, keep=keep)
        stored = kind.store(params, held, result, ctx.output_dir)
        return job_finish(job=held, result=stored, attempt={})
    except JobFailed as error:
        return job_fail(
            job=held, code=error.reason, message=error.message, permanent=error.permanent,
            attempt={},
        )  # fmt: skip


def _ship(job: Job, ctx: RecordingContext, *, keep: bool) -> None:
    """What a worker's shipper stores of what the job has said."""
    at = stamp()
    attempt_environment(job=job, environment=ctx.environment_data)
    log_append(job=job, lines=[(at, "job", "info", text) for text in ctx.lines])
    points = [(name, step, value, at) for step, row in ctx.metrics for name, value in row.items()]
    metrics_append(job=job, points=points)
    samples_append(job=job, rows=[{**values, "at": at} for values in ctx.samples])
    for checkpoint in ctx.checkpoints if keep else ():
        checkpoint_record(job=job, checkpoint={**checkpoint, "path": str(checkpoint["path"])})
