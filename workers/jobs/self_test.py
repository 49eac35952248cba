"""A self-test of a node: steps that log, measure, checkpoint and resume, without any model.

Operators use it to see that a node works and that its limits hold; tests and benchmarks use it to
load the job machinery.
"""

import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field

from models_app.jobs.kind import JobContext, JobFailed, JobKind, JobStopped, Params, job_kinds


class SelfTestParams(Params):
    """How long, how loud, and what goes wrong."""

    steps: int = Field(default=10, ge=0, le=1_000_000, title="Steps")
    step_ms: float = Field(default=100, ge=0, le=60_000, title="Milliseconds per step")
    lines_per_step: int = Field(default=1, ge=0, le=100_000, title="Log lines per step")
    checkpoint_every: int = Field(default=5, ge=1, title="Steps between checkpoints")
    seed: int = Field(default=0, title="Seed")
    outcome: Literal["succeed", "fail", "raise", "crash", "hang"] = Field(
        default="succeed", title="How it ends", description="What the last step does"
    )
    rounds: int = Field(default=0, ge=0, le=100_000_000, title="Rounds of hashing per step")
    at_step: int = Field(default=1, ge=1, title="Step before which the strain begins")
    allocate_mib: int = Field(default=0, ge=0, le=1 << 24, title="Memory to fill in MiB")
    processes: int = Field(default=0, ge=0, le=1 << 20, title="Processes to start")
    busy: int = Field(default=0, ge=0, le=1024, title="Processes that take all they can")
    write_mib: int = Field(default=0, ge=0, le=1 << 24, title="Files to write in MiB")
    line_mib: int = Field(default=0, ge=0, le=1024, title="One line to print in MiB")
    daemon: bool = Field(
        default=False, title="Leave a daemon behind", description="In a session of its own"
    )
    ignore_stop: bool = Field(default=False, title="Ignore the wish to stop")


@job_kinds.register
class SelfTest(JobKind):
    name = "self_test"
    label = "Self-test of a node"
    pausable = True

    Params = SelfTestParams

    def run(
        self, params: SelfTestParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        lock = _alone(ctx)
        done, digest = _resume(ctx, params.seed)
        ctx.environment({"threads": 1, "pid": os.getpid()})
        held: list[bytearray] = []
        for step in range(done + 1, params.steps + 1):
            if ctx.should_stop() and not params.ignore_stop:
                _save(ctx, step - 1, digest)
                raise JobStopped(f"Stopped after step {step - 1}.")
            if step == params.at_step:
                _strain(params, ctx, held)
            values = _work(params)
            digest = hashlib.sha256(f"{digest}:{step}".encode()).hexdigest()
            for line in range(params.lines_per_step):
                ctx.log(f"step {step} line {line + 1} of {params.lines_per_step} · {digest[:12]}")
            ctx.metric(step, {"value": int(digest[:4], 16) / 65536, **values})
            ctx.progress(step=step, total=params.steps, stage="testing")
            if step % params.checkpoint_every == 0:
                _save(ctx, step, digest)
        _end(params.outcome)
        lock.close()
        return {"digest": digest, "steps": params.steps}


def _alone(ctx: JobContext) -> IO[str]:
    """Hold the job's lock to the end; another attempt that still runs is told and marked."""
    lock = (ctx.checkpoint_dir / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        ctx.log("Another attempt at this job is still running.", level="error")
        (ctx.checkpoint_dir / f"overlap-{ctx.epoch}").touch()
    return lock


def _work(params: Any) -> dict[str, float]:
    """One step's work; measured where it is more than a pause."""
    time.sleep(params.step_ms / 1000)
    if not params.rounds:
        return {}
    begun, block = time.perf_counter(), b"slipway"
    for _ in range(params.rounds):
        block = hashlib.sha256(block).digest()
    return {"work_ms": 1000 * (time.perf_counter() - begun)}


def _strain(params: Any, ctx: JobContext, held: list[bytearray]) -> None:
    """Take of the node what was asked for, to see who is ended for it."""
    if params.line_mib:
        sys.stdout.write("x" * (params.line_mib << 20) + "\n")
    if params.daemon:
        _leave_daemon(ctx)
    for _ in range(params.busy):
        _fork(_spin)
    for _ in range(params.processes):
        _fork(signal.pause)
    for number in range(params.write_mib):
        # Many files: a single one may not grow beyond the limit anyhow.
        with (ctx.work_dir / f"strain-{number % 64}").open("ab") as stream:
            stream.write(os.urandom(1 << 20))
    for _ in range(params.allocate_mib):
        held.append(bytearray(os.urandom(1 << 12) * 256))  # touched, hence really taken


def _fork(action: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            action()
        finally:
            os._exit(0)
    return pid


def _spin() -> None:
    while True:
        hash("busy")


def _leave_daemon(ctx: JobContext) -> None:
    """Fork twice with a session in between, as daemons do: no signal to the group reaches it."""

    def detach() -> None:
        os.setsid()
        pid = _fork(_outlive)
        ctx.log(f"daemon {pid}")

    os.waitpid(_fork(detach), 0)


def _outlive() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    while True:
        time.sleep(60)


def _end(outcome: str) -> None:
    if outcome == "fail":
        raise JobFailed("The self-test was asked to fail.", reason="user_code")
    if outcome == "raise":
        raise RuntimeError("The self-test was asked to raise.")
    if outcome == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    while outcome == "hang":
        time.sleep(1)


def _save(ctx: JobContext, step: int, digest: str) -> None:
    path = ctx.checkpoint_dir / f"step-{step:09d}.a{ctx.epoch}.json"
    text = json.dumps({"step": step, "digest": digest})
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    ctx.checkpoint(
        step=step, path=str(path), digest=digest, size_bytes=len(text), metrics={"step": step}
    )


def _resume(ctx: JobContext, seed: int) -> tuple[int, str]:
    newest = max(ctx.checkpoint_dir.glob("step-*.json"), key=_step, default=None)
    if newest is None:
        return 0, hashlib.sha256(str(seed).encode()).hexdigest()
    state = json.loads(newest.read_text())
    ctx.log(f"Goes on after step {state['step']}.")
    return int(state["step"]), str(state["digest"])


def _step(path: Path) -> int:
    return int(path.name.split(".")[0].removeprefix("step-"))
