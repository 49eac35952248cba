"""The first program of an attempt: goes into the cage, waits for the word, becomes the job.

    python -I -S gate.py PLAN COMMAND...

Standard library only, and none of the job's code: what it cannot do ends the attempt. It waits for
a byte on stdin, so that the supervisor can write down what it has started before it runs. A process
that was forked from a template passes the same gate; see workers.warm.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
#: Exit statuses that a supervisor understands.
PARENT_GONE, CANNOT_ENTER = 70, 71


def main(plan_path: str, command: list[str]) -> None:
    """Confine this process as the plan says, then become the command."""
    enter(plan_path)
    os.execv(command[0], command)


def enter(plan_path: str) -> None:
    """Confine this process as the plan says, and wait for the word. OSError: it cannot be done."""
    with os.fdopen(os.open(plan_path, os.O_RDONLY)) as stream:
        plan = json.load(stream)
    _privileges(plan)
    for path in plan["enter"]:
        _put(path, "0")  # ourselves
    for name, value in plan["rlimits"].items():
        number = getattr(resource, f"RLIMIT_{name.upper()}")
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    os.umask(0o077)
    os.nice(plan["nice"])
    _preferences(plan)
    if not os.read(0, 1):
        os._exit(PARENT_GONE)


def refused(error: OSError) -> NoReturn:
    """Say why the cage cannot be entered, and end."""
    sys.stderr.write(f"slipway: the job's cage cannot be entered: {error}\n")
    sys.stderr.flush()
    os._exit(CANNOT_ENTER)


def _privileges(plan: dict[str, Any]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != plan["parent"]:
        os._exit(PARENT_GONE)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if plan["subreaper"]:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _preferences(plan: dict[str, Any]) -> None:
    """What a job can do without, and some systems refuse."""
    _try("oom_score_adj", _put, "/proc/self/oom_score_adj", str(plan["oom_score_adj"]))
    _try("coredump_filter", _put, "/proc/self/coredump_filter", "0")
    _try("processors", _keep_to, plan["processors"])


def _try(name: str, action: Any, *arguments: Any) -> None:
    try:
        action(*arguments)
    except OSError as error:
        sys.stderr.write(f"slipway: {name} stays as it is: {error}\n")


def _keep_to(processors: list[int]) -> None:
    if processors:
        os.sched_setaffinity(0, processors)


def _put(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except OSError as error:
        refused(error)
