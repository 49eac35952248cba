"""What a job reads is recorded when it is submitted, and compared again when an attempt starts.

Hours may lie between both. A result must not say that it comes of data or settings that were others
by then, so the job ends with a reason that names the input and both digests.
"""

from pathlib import Path
from typing import Any

from models_app.jobs.kind import Input, JobFailed, JobKind
from models_app.jobs.models import Job
from models_app.jobs.states import ReasonCode

SHORT = 12


def inputs_recorded(kind: JobKind, params: Any) -> list[dict[str, str]]:
    """What a job of these parameters reads, for its row."""
    return [
        {"role": row.role, "name": row.name, "digest": row.digest} for row in kind.inputs(params)
    ]


def job_load(*, kind: JobKind, params: Any, job: Job, folder: Path) -> dict[str, Any]:
    """`kind.load`, once every input is known to be what it was; else JobFailed, for good."""
    if job.inputs:
        _check(job, kind.inputs(params))
    return kind.load(params, job, folder)


def _check(job: Job, now: list[Input]) -> None:
    found = {(row.role, row.name): row for row in now}
    for was in job.inputs:
        row = found.get((was["role"], was["name"]))
        said = f"{was['role']} {was['name']}"
        if row is None:
            _refuse(f"The {said} is no longer there. Choose another one and run it again.")
        elif row.problem:
            _refuse(f"The {said} can no longer be used: {row.problem}.")
        elif row.digest != was["digest"]:
            _refuse(
                f"The {said} is not what it was when the job was submitted: "
                f"digest {_short(was['digest'])} then, {_short(row.digest)} now. "
                "Run it again to use it as it is now."
            )


def _short(digest: str) -> str:
    return digest if len(digest) != 64 else digest[:SHORT]


def _refuse(message: str) -> None:
    raise JobFailed(message, reason=ReasonCode.INPUT_CHANGED)
