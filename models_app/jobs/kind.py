"""The contract of a job kind: one class, one file in `workers/jobs/`.

Life of a job: `check` and `inputs` (web, before the row exists) → `inputs` again and `load`
(worker, database open) → `run` (child process: no database, no Django models) → `apply` (worker, in
the transaction that finishes the job). `ended` is called, also in a transaction, when the job ends
without success.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from django.utils.translation import gettext_noop
from pydantic import BaseModel, ConfigDict

from models_app.core.catalog import Catalog
from models_app.core.validation import parse


@dataclass(frozen=True, kw_only=True)
class Input:
    """One thing that a job reads, as it is now; `problem` says why it must not be used."""

    role: str
    name: str
    digest: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Where a job would rather run, of the nodes that have room for it."""

    #: sha256 -> bytes of what it reads: a node that has them fetches nothing.
    blobs: Mapping[str, int] = field(default_factory=dict)
    #: Node -> how many like it run there already: one that has fewer is better.
    crowd: Mapping[str, int] = field(default_factory=dict)


class Params(BaseModel):
    """Base of every parameter model: frozen, and unknown fields are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobFailed(Exception):
    """Raised by `run`: the job cannot succeed, and this message tells the user why and what to do.

    `reason` is a ReasonCode value; `permanent=False` lets the attempt be repeated.
    """

    def __init__(
        self, message: str, *, reason: str = "user_code", field: str = "", permanent: bool = True
    ) -> None:
        super().__init__(message)
        self.message, self.reason, self.field, self.permanent = message, reason, field, permanent


class JobStopped(Exception):
    """Raised by `run` after a polite stop: what can be kept has been saved."""


class JobContext(Protocol):
    """What a running job may say and ask. Everything here ends in the job's durable spool."""

    #: A directory of this attempt's own, on the node; gone after the job.
    work_dir: Path
    #: Survives attempts of the same job: where checkpoints lie.
    checkpoint_dir: Path
    #: Files placed here are handed to `apply` (as `output_dir`).
    output_dir: Path
    #: 1 for the first attempt; later ones should resume from the newest valid checkpoint.
    epoch: int
    #: Of a job on several nodes: which part this is and where all meet; see workers.gang.
    meeting: dict[str, Any] | None

    def log(self, text: str, level: str = "info") -> None: ...

    def metric(self, step: int, values: dict[str, float]) -> None: ...

    def progress(
        self,
        *,
        step: int | None = None,
        total: int | None = None,
        stage: str | None = None,
        percent: float | None = None,
        eta_s: float | None = None,
    ) -> None: ...

    def checkpoint(
        self, *, step: int, path: str, digest: str, size_bytes: int, metrics: dict[str, float]
    ) -> None: ...

    def sample(self, *, step: int, place: int, prompt: str, text: str) -> None:
        """What a model in training writes after the prompt of this place."""

    def ready(self, data: dict[str, Any]) -> None:
        """A long-lived job (a replica) says that it serves, and where."""

    def report(self, data: dict[str, Any]) -> None:
        """A long-lived job says how it stands now; the newest report counts."""

    def environment(self, data: dict[str, Any]) -> None:
        """Record packages, system, threads and devices with the attempt."""

    def should_stop(self) -> bool:
        """True after a polite stop: finish the step, save, return or raise."""

    def should_hurry(self) -> bool:
        """True when the time that the kind has for a polite stop by request is cut short."""


class JobKind:
    """Subclass this; register with `@job_kinds.register`."""

    name: ClassVar[str]
    label: ClassVar[str]
    Params: ClassVar[type[Params]]
    #: Gets a GPU by default where its pool has any.
    uses_gpu: ClassVar[bool] = False
    #: Saves checkpoints and goes on from them: it can be paused, moved and made to give way.
    pausable: ClassVar[bool] = False
    #: Reads the console's disk: only nodes that share it can run it.
    on_console_disk: ClassVar[bool] = False
    #: Short work of Slipway's own without user code: runs in the worker itself, without a child.
    inline: ClassVar[bool] = False
    #: Attempts in a row without a new checkpoint before the job is given up.
    max_attempts: ClassVar[int] = 4
    #: A job that lives until it is stopped: a clean stop counts as success, it has no deadline.
    long_lived: ClassVar[bool] = False
    #: What it reads may change while it runs: `refresh` is called again and again.
    refreshes: ClassVar[bool] = False
    #: Whether people may submit it by the generic form and API.
    submittable: ClassVar[bool] = True

    def check(self, params: Any, *, actor: Any, team: Any) -> None:
        """Refuse impossible parameters (FieldError) before a job exists, in the web process."""

    def title(self, params: Any) -> str:
        """One line that names the work in lists."""
        return str(self.label)

    def resources(self, params: Any) -> dict[str, Any]:
        """What a job of these parameters asks for if it does not say: `resources.Resources`."""
        return {}

    def gpus(self, params: Any) -> int:
        """How many GPUs it gets where its pool has any and the request does not say."""
        return 1 if self.uses_gpu else 0

    def grace_s(self, params: Any) -> float | None:
        """Seconds that a polite stop by request may take; None: JOB_GRACE_S, as when nodes stop."""
        return None

    def nodes(self, params: Any) -> int:
        """On how many nodes it runs at the same time; each gives what `resources` asks for."""
        return 1

    def wishes(self, params: Any) -> Wishes:
        """Where it would rather run; asked when a place is looked for."""
        return Wishes()

    def inputs(self, params: Any) -> list[Input]:
        """What `run` will read. Recorded when it is submitted, compared when an attempt starts."""
        return []

    def load(self, params: Any, job: Any, folder: Path) -> dict[str, Any]:
        """Collect what `run` needs from the database, as JSON; files go under `folder`."""
        return {}

    def run(self, params: Any, inputs: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
        """The work itself, in a child process. Returns plain JSON."""
        raise NotImplementedError

    def ready(self, params: Any, job: Any, data: dict[str, Any]) -> None:
        """In the worker, in a transaction: the child has called `ctx.ready(data)`."""

    def refresh(self, params: Any, job: Any, folder: Path) -> None:
        """In the worker, while the child runs: bring its files under `folder` up to date.

        At every sign of life and upon each notice. What is not ready yet must not be seen: the
        child reads at the same time.
        """

    def reported(self, params: Any, job: Any, data: dict[str, Any]) -> None:
        """In the worker, in a transaction: the child has called `ctx.report(data)`."""

    def store(
        self, params: Any, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        """In the worker, before the finishing transaction: put files into the blob store."""
        return result

    def apply(self, params: Any, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        """In the finishing transaction: make the job's effects visible. Returns the result."""
        return result

    def ended(self, params: Any, job: Any) -> None:
        """In the transaction in which the job ended without success, or lost its attempt."""


job_kinds: Catalog[JobKind] = Catalog(gettext_noop("job kind"))


def inline_kinds() -> list[str]:
    """Names of the kinds that run in the worker itself."""
    return [kind.name for kind in job_kinds if kind.inline]


def kind_of(job: Any) -> tuple[JobKind, Any]:
    """The job's kind and its parsed parameters."""
    kind = job_kinds.get(job.kind)
    return kind, parse(kind.Params, job.params, prefix="params")
