"""The child process of one attempt: runs the kind's `run`, and says everything into the spool.

It has its own session, no database, no Redis, no secrets but its own inputs. It dies with its
supervisor: by the kernel (PDEATHSIG), by the end of its stdin, and when no sign of life has come
through stdin for most of a lease.
"""

import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def main(folder: Path) -> int:
    """Read `job.json` in `folder`, run, report. Returns the exit status."""
    job = json.loads((folder / "job.json").read_text())
    _die_with_parent(job["parent_pid"])
    _watch_stdin(job["watchdog_s"])

    from models_app.core import clock
    from workers.context import Context, Tee

    if job.get("clock"):
        clock.follow(clock.Reading(*job["clock"]))
    ctx = Context(folder, job)
    signal.signal(signal.SIGTERM, lambda *_: ctx.stop())
    signal.signal(signal.SIGUSR1, lambda *_: ctx.hurry())
    sys.stdout, sys.stderr = Tee(ctx, "stdout"), Tee(ctx, "stderr")
    try:
        return _run(job, ctx)
    except BaseException as error:
        return ctx.failed(error, traceback.format_exc())


def _run(job: dict[str, Any], ctx: Any) -> int:
    import django

    django.setup()
    from models_app.core.validation import parse
    from models_app.jobs.kind import job_kinds

    kind = job_kinds.get(job["kind"])
    ctx.arm()
    result = kind.run(parse(kind.Params, job["params"]), job["inputs"], ctx)
    ctx.say("result", value=result)
    return 0


def _die_with_parent(parent: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def _watch_stdin(limit_s: float) -> None:
    """Kill the whole group when the supervisor is gone or has not given a sign of life in time."""

    def watch() -> None:
        deadline = time.monotonic() + limit_s
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([0], [], [], left)
            if readable:
                if not os.read(0, 4096):
                    break
                deadline = time.monotonic() + limit_s
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    # Threads of torch or of a server must not keep an ended job alive.
    os._exit(status)
